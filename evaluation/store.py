"""The folder of evaluations: what is kept in it, and files that are either the old or the new."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Store:
    """Where everything lies.

    - `jobs/KEY.json` what was asked, `KEY.lock` held while it is carried out, `KEY.log` what the models printed;
    - `results/KEY.json` what was found, or why nothing was;
    - `rows/KEY/` truth, slices and groups of the rows with their identity: `rows.parquet`, `manifest.json`;
    - `scores/MODEL/DATA-TARGET/` predictions and losses of one model: `predictions.parquet`, `manifest.json`;
    - `work/` what a model's process writes, gone when it has ended;
    - `looks/MODEL.json` who was compared on which data, in order;
    - `models/KEY/` a model's files, `environments/` what models of other libraries run in.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def job(self, key: str) -> Path:
        return self.home / "jobs" / f"{key}.json"

    def lock(self, key: str) -> Path:
        return self.home / "jobs" / f"{key}.lock"

    def log(self, key: str) -> Path:
        return self.home / "jobs" / f"{key}.log"

    def result(self, key: str) -> Path:
        return self.home / "results" / f"{key}.json"

    def rows(self, key: str) -> Path:
        return self.home / "rows" / key

    def scores(self, model: str, data: str) -> Path:
        return self.home / "scores" / model / data

    @contextlib.contextmanager
    def work(self) -> Iterator[Path]:
        """A folder for one process of a model, for as long as this lasts."""
        folder = self.home / "work" / uuid.uuid4().hex
        folder.mkdir(parents=True, mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def looks(self, model: str) -> Path:
        return self.home / "looks" / f"{model}.json"

    def model(self, key: str) -> Path:
        return self.home / "models" / key


@contextlib.contextmanager
def placed(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `folder` whole, or never does: where its filling fails."""
    spare = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    spare.mkdir(parents=True, mode=0o700)
    try:
        yield spare
        shutil.rmtree(folder, ignore_errors=True)
        spare.rename(folder)
    finally:
        shutil.rmtree(spare, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Replace the file; it survives a power cut once this returns."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    spare = path.with_name(f".{path.name}.{os.getpid()}")
    with spare.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    spare.replace(path)


def read_json(path: Path) -> Any:
    """The value, None where there is no such file or it holds no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def last_line(path: Path) -> str:
    """The last line of a log that says something, shortened; empty where there is none."""
    lines = path.read_text(encoding="utf-8", errors="replace")[-8_192:].splitlines() if path.exists() else []
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


@contextlib.contextmanager
def held(path: Path, *, wait: bool) -> Iterator[int | None]:
    """The lock's handle while this lasts, None where somebody else has it.

    A dead holder gives it up by itself; a child that is given the handle goes on holding it.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
        else:
            yield handle
    finally:
        os.close(handle)
