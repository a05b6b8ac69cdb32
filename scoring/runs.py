"""The folders of batch runs: one a run, there only once it is whole, with a manifest of what it is.

On a disk a run is written beside its place and renamed into it. In an object store nothing can be renamed: there the
manifest comes last, under a condition that only one can meet, and names the files that count. Either way a folder
with a manifest is whole, and one without is not there.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from scoring import documents
from scoring.errors import OUTPUT, USAGE, Stop, sentence
from scoring.files import file_system

FORMAT = 1
MANIFEST = "manifest.json"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,99}")
MOST_TOLD = 200
"""Runs that are looked at to tell what was written."""
UNDER_WAY = ".under-way-"
"""What the folder of a run that is not whole begins with; engines that read folders pass over names with a dot."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one run scored, with what, and what came of it."""

    run: str
    model: str
    version: int
    key: str
    release: str
    uri: str
    """Where the version's artifacts lie."""
    input: str
    input_version: int
    """Of the input table."""
    rows: int
    schema: Mapping[str, str]
    """Column -> Arrow type."""
    files: tuple[str, ...]
    """Relative to the folder."""
    seconds: float
    at: float
    """When it was whole, in seconds since the epoch."""
    since: int | None = None
    """First version of the input whose rows were scored, None for the whole table."""
    where: str | None = None
    partitioned_by: tuple[str, ...] = ()
    format: int = FORMAT


def parse(found: Any, where: str) -> Manifest:
    """The manifest that a JSON value stands for. Raises Stop where it stands for none."""
    names = {field.name for field in fields(Manifest)}
    if not isinstance(found, Mapping) or found.get("format") != FORMAT or not names >= found.keys():
        raise Stop(OUTPUT, f"{where} is no manifest of a run.")
    wanted = {
        "run": str,
        "model": str,
        "version": int,
        "rows": int,
        "input_version": int,
        "schema": Mapping,
        "files": list,
    }
    wanted |= {"key": str, "release": str, "uri": str, "input": str}
    for name, kind in wanted.items():
        if not isinstance(found.get(name), kind) or isinstance(found[name], bool):
            raise Stop(OUTPUT, f"{where} is no manifest of a run: {name} is {found.get(name)!r:.60}.")
    for name in ("seconds", "at"):
        if not isinstance(found.get(name), int | float) or isinstance(found[name], bool):
            raise Stop(OUTPUT, f"{where} is no manifest of a run: {name} is {found.get(name)!r:.60}.")
    told = {**found, "files": tuple(found["files"]), "partitioned_by": tuple(found.get("partitioned_by") or ())}
    return Manifest(**told)


def folder_of(run: str) -> str:
    """The name of a run's folder. Raises Stop for a run id that is no part of a path."""
    if not RUN_ID.fullmatch(run):
        raise Stop(USAGE, f"A run id is up to 100 letters, digits and . _ = -, not {run!r:.120}.")
    return f"run={run}"


def local_root(output: str) -> Path:
    """The folder that runs are written beneath."""
    return documents.local(output)


def done(output: str, run: str) -> Manifest | None:
    """The manifest of a run that is whole, None where it is not there. Raises Stop where it is no manifest."""
    where = f"{output.rstrip('/')}/{folder_of(run)}/{MANIFEST}"
    found = documents.read(where)
    return None if found is None else parse(found, where)


def newest(output: str, most: int = MOST_TOLD) -> list[Manifest]:
    """The manifests of the newest runs that are whole, oldest first; what is no manifest is passed over."""
    from pyarrow import fs

    try:
        folders = file_system(output).get_file_info(fs.FileSelector("", allow_not_found=True))
    except OSError:
        return []
    found = []
    for info in sorted(folders, key=lambda info: info.mtime_ns or 0)[-most:]:
        name = info.base_name
        if info.type is fs.FileType.Directory and name.startswith("run="):
            with contextlib.suppress(Stop):
                if (one := done(output, name.removeprefix("run="))) is not None:
                    found.append(one)
    return sorted(found, key=lambda one: one.at)


@contextlib.contextmanager
def making(output: str, run: str) -> Iterator[Making]:
    """A place to write a run into. Whatever ends the block, nothing is left that looks done unless it was published."""
    made = (InStore if documents.is_remote(output) else OnDisk)(output, run)
    try:
        yield made
    finally:
        made.clean()


class Making:
    """A run under way: an Arrow file system and a folder in it to write to, and the moment when it becomes visible."""

    files: Any
    folder: str

    def publish(self, manifest: Manifest) -> bool:
        """Make it visible; False where the same run was published meanwhile."""
        raise NotImplementedError

    def names(self) -> tuple[str, ...]:
        """The files so far, relative to the run's folder."""
        raise NotImplementedError

    def place(self, name: str) -> str:
        """Where in `files` a file of that name lies."""
        raise NotImplementedError

    def rows(self) -> int:
        """How many rows the files so far have, by what stands at the end of each."""
        from pyarrow import parquet

        return sum(parquet.read_metadata(self.place(name), filesystem=self.files).num_rows for name in self.names())

    def clean(self) -> None:
        """Remove what was not published."""
        raise NotImplementedError


class OnDisk(Making):
    """Written beside its place, and renamed into it."""

    def __init__(self, output: str, run: str) -> None:
        from pyarrow import fs

        root = local_root(output)
        self._target = root / folder_of(run)
        self._spare = root / f"{UNDER_WAY}{run}-{uuid.uuid4().hex[:8]}"
        try:
            root.mkdir(parents=True, exist_ok=True)
            _sweep(root, run)
            self._spare.mkdir()
        except OSError as error:
            raise Stop(OUTPUT, f"{output} cannot be written to: {sentence(error)}") from error
        self.files, self.folder = fs.LocalFileSystem(), str(self._spare)

    def publish(self, manifest: Manifest) -> bool:
        (self._spare / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2))
        try:
            self._spare.rename(self._target)
        except OSError:
            if (self._target / MANIFEST).exists():
                return False
            raise
        return True

    def names(self) -> tuple[str, ...]:
        found = (path.relative_to(self._spare) for path in self._spare.rglob("*.parquet"))
        return tuple(sorted(str(path) for path in found))

    def place(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def clean(self) -> None:
        shutil.rmtree(self._spare, ignore_errors=True)


def _sweep(root: Path, run: str) -> None:
    """Remove what killed attempts at the same run left."""
    for left in root.glob(f"{UNDER_WAY}{run}-????????"):
        shutil.rmtree(left, ignore_errors=True)


class InStore(Making):
    """Written under a name of its own within its place; counts once the manifest names its files."""

    def __init__(self, output: str, run: str) -> None:
        self._uri = f"{output.rstrip('/')}/{folder_of(run)}"
        self._attempt = f"part-{uuid.uuid4().hex[:8]}"
        self._published = False
        self.files, self.folder = file_system(self._uri), self._attempt

    def publish(self, manifest: Manifest) -> bool:
        self._published = documents.create(f"{self._uri}/{MANIFEST}", asdict(manifest))
        return self._published

    def names(self) -> tuple[str, ...]:
        from pyarrow import fs

        found = self.files.get_file_info(fs.FileSelector(self._attempt, recursive=True))
        return tuple(sorted(info.path for info in found if info.path.endswith(".parquet")))

    def place(self, name: str) -> str:
        return name

    def clean(self) -> None:
        if self._published:
            return
        with contextlib.suppress(OSError):
            for name in self.names():
                self.files.delete_file(name)
