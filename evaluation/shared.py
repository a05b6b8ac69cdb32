"""`python -m evaluation.shared HOME KEY [DATA]`: carry out one evaluation on a platform, whatever that is.

HOME is a folder of the platform that this machine has mounted: the request lies in it, and what is found is left in it.
Behind such a folder is mostly an object store, so files are written whole and by nobody twice, and nothing in it is
locked, appended to or renamed; what needs that is done in a folder of this machine.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluation.job import from_json
from evaluation.running import result
from evaluation.store import Store, read_json

MANIFEST = "manifest.json"
"""The last file of a folder that is given: without it the others are not there."""
PATIENCE = 30.0
"""Seconds in which a request may turn up: a mounted store shows late what was written from elsewhere."""
MOST_LOG = 1_000_000
"""Bytes of what the models printed that are kept, the last ones."""


class Mirrored(Store):
    """A folder of this machine; what is kept in the shared one is fetched when it is first asked for."""

    def __init__(self, scratch: Path, shared: Store) -> None:
        super().__init__(scratch)
        self.shared = shared

    def rows(self, key: str) -> Path:
        return self._fetched(super().rows(key))

    def scores(self, model: str, data: str) -> Path:
        return self._fetched(super().scores(model, data))

    def give(self) -> None:
        """Copy what is new to where others find it."""
        for found in self.home.glob(f"*/**/{MANIFEST}"):
            part = found.parent.relative_to(self.home)
            there = self.shared.home / part
            if part.parts[0] in ("rows", "scores") and not isinstance(read_json(there / MANIFEST), dict):
                _copied(found.parent, there)

    def _fetched(self, folder: Path) -> Path:
        there = self.shared.home / folder.relative_to(self.home)
        if not folder.exists() and isinstance(read_json(there / MANIFEST), dict):
            _copied(there, folder)
        return folder


def run(home: Path, key: str, data: str | None = None, patience: float = PATIENCE) -> None:
    """Carry out the request that lies in the folder under `key`; `data` is where the holdout is mounted, if it is.

    Raises SystemExit where there is no such request, OSError where the folder cannot be written: the platform tells
    both as the end of its job.
    """
    shared = Store(home)
    asked = _request(shared.job(key), patience) if re.fullmatch(r"[0-9a-f]{32}", key) else None
    if asked is None:
        raise SystemExit(f"There is no request {shared.job(key)}: is {home} mounted here, and may it be read?")
    job = from_json(asked["job"])
    if data is not None:
        job = replace(job, data=replace(job.data, uri=data))
    with tempfile.TemporaryDirectory(prefix="evaluation-") as scratch:
        store = Mirrored(Path(scratch), shared)
        log = store.log(key)
        log.parent.mkdir(parents=True)
        found = result(job, None, store, log, lambda *about: claimed(shared, *about))
        store.give()
        if log.exists():
            shared.log(key).write_bytes(log.read_bytes()[-MOST_LOG:])
        _written(shared.result(key), {**found, "attempt": asked["attempt"]})


def _request(path: Path, patience: float) -> dict[str, Any] | None:
    ends = time.monotonic() + patience
    while not isinstance(found := read_json(path), dict):
        if time.monotonic() >= ends:
            return None
        time.sleep(min(1.0, patience))
    return found


def claimed(shared: Store, model: str, data: str, challenger: str, remembered: int) -> int:
    """Which look this challenger's is, as `evaluation.looks.look`, where nothing can be locked.

    Each leaves a claim before it counts them, so the i-th to count sees at least i: two at the same time may both be
    told the higher number, never both the lower one, and no more confidence is given away than one after the other.
    """
    folder = shared.looks(hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:32]).with_suffix("")
    mine = folder / data / f"{challenger}.json"
    known = read_json(mine)
    if isinstance(known, int):
        return known
    _written(mine, None)
    others = [read_json(each) for each in mine.parent.glob("*.json") if each != mine]
    number = 1 + max([remembered, len(others), *(each for each in others if isinstance(each, int))])
    _written(mine, number)
    return number


def _written(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _copied(folder: Path, there: Path) -> None:
    """The files of a flat folder, its manifest last. Their contents only: a mounted store knows no modes and times."""
    there.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.iterdir(), key=lambda each: each.name == MANIFEST):
        shutil.copyfile(file, there / file.name)


def main() -> None:
    """With the arguments of the command line."""
    match sys.argv[1:]:
        case [home, key]:
            run(Path(home), key)
        case [home, key, data]:
            run(Path(home), key, data)
        case _:
            raise SystemExit("Usage: python -m evaluation.shared HOME KEY [DATA]")


if __name__ == "__main__":
    main()
