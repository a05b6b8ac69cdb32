"""A version's files where the registry keeps them: listed, and fetched by threads that nobody waits for long."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from deployers.azureml.trouble import shown
from watcher.errors import Terminal, Transient, WatcherError
from watcher.text import plain

ROOM = 1.2
"""The free disk must hold so many times what is to be fetched."""
ABANDONED = 24 * 3600.0
"""Seconds after which what was fetched and never sent is removed."""
LEAST = 1.0
"""Seconds that a file is waited for in any case."""
SHOWN, LONGEST = 80, 2_000
"""Characters of an address in a sentence, which must leave room for what went wrong there; and of any address."""
_NEVER = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"})


@dataclass(frozen=True, slots=True)
class Source:
    """The folder of a model's files, in whatever store MLflow reads."""

    uri: str
    tracking_uri: str | None

    def sizes(self) -> dict[str, int]:
        """Path below the folder -> bytes, 0 where the store does not tell. Raises Terminal where it is no model."""
        with _from_store(f"list the model's files in {self.where}", self.uri):
            folders, found = [""], dict[str, int]()
            repository = self._repository()
            while folders:
                for each in repository.list_artifacts(folders.pop() or None):
                    if each.is_dir:
                        folders.append(each.path)
                    else:
                        found[_below(each.path)] = int(each.file_size or 0)
        if "MLmodel" not in found:
            raise Terminal(f"there is no MLmodel in {self.where}: it is not a model of MLflow")
        return found

    def folder(self, wanted: str = "files") -> Path | None:
        """Where the files lie if the store is a folder of this machine, None where each must be fetched.

        `wanted`: what is looked for, as an error has it.
        """
        with _from_store(f"read {wanted} of the model in {self.where}", self.uri):
            from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

            repository = self._repository()
            return Path(repository.artifact_dir) if isinstance(repository, LocalArtifactRepository) else None

    def download(self, path: str, into: Path) -> Path:
        """A copy of one file below `into`; takes as long as it takes."""
        with _from_store(f"read {path} of the model in {self.where}", self.uri):
            return Path(self._repository().download_artifacts(path, dst_path=str(into)))

    @property
    def where(self) -> str:
        """The address, as it may be shown; of a long one its end, which tells versions apart."""
        address = plain(self.uri.partition("?")[0], LONGEST)
        return address if len(address) <= SHOWN else f"{address[:10]}…{address[11 - SHOWN :]}"

    def _repository(self) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(self.uri, tracking_uri=self.tracking_uri)


class Fetches:
    """Files on their way to this machine. A thread of this process brings each, also when its caller has gone on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Path, _Fetch] = {}

    def file(self, source: Source, path: str, size: int, seconds: float) -> Path | None:
        """The file, None where it is not here yet: then it is asked for again.

        Raises Transient where the disk has no room for it now, or where it is not whole.
        """
        folder = _folder(source)
        here = folder / hashlib.sha256(path.encode()).hexdigest()[:32]
        with self._lock:
            if here.exists():
                return here
            running = self._running.get(here)
            if running is None:
                _room(size, folder)
                running = self._running[here] = _Fetch(source, path, here)
                running.start()
        running.join(max(seconds, LEAST))
        if running.is_alive():
            return None
        with self._lock:
            self._running.pop(here, None)
        if running.error is not None:
            raise running.error
        if size and here.stat().st_size != size:
            came = here.stat().st_size
            here.unlink()
            raise Transient(f"{path} of the model in {source.where} has {size:,} bytes, and {came:,} came")
        return here

    @staticmethod
    def forget(source: Source) -> None:
        """Remove what was fetched of a version."""
        shutil.rmtree(_folder(source), ignore_errors=True)


FETCHES = Fetches()
"""Of this process: whatever asks for a file that is on its way waits for the same one."""


class _Fetch(threading.Thread):
    """Brings one file to `here`, whole or not at all. A daemon: a process that ends does not wait for it."""

    def __init__(self, source: Source, path: str, here: Path) -> None:
        super().__init__(name="watcher-fetch", daemon=True)
        self.error: WatcherError | None = None
        self._source, self._path, self._here = source, path, here

    def run(self) -> None:
        part = self._here.with_suffix(".part")
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            self._source.download(self._path, part).replace(self._here)
        except WatcherError as error:
            self.error = error
        except OSError as error:
            self.error = Transient(f"{part.parent} cannot be written: {error.strerror}")
        finally:
            shutil.rmtree(part, ignore_errors=True)


def one_file(source: Source, path: str, scratch: Path) -> Path:
    """A small file, at once. Raises Terminal where there is none."""
    here = source.folder(path)
    if here is None:
        try:
            return source.download(path, scratch)
        except Transient:
            # Stores have no word in common for what is not there; only a listing that came through says so.
            if path in source.sizes():
                raise
    elif (here / path).is_file():
        return here / path
    raise Terminal(f"there is no {path} in {source.where}: log the model again, or name an `environment`")


def _folder(source: Source) -> Path:
    """A folder of our own for what is fetched of a version; it outlives this process, and what it holds is whole."""
    root = Path(tempfile.gettempdir()) / f"watcher-azureml-{os.getuid()}"
    folder = root / hashlib.sha256(source.uri.encode()).hexdigest()[:32]
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        found = root.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise Transient(f"{root} belongs to somebody else: remove it, or point TMPDIR at another folder", 600.0)
        for each in root.iterdir():
            if each != folder and each.lstat().st_mtime < time.time() - ABANDONED:
                shutil.rmtree(each, ignore_errors=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise Transient(f"{root} cannot be written: {error.strerror}") from None
    return folder


def _room(size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size * ROOM > free:
        raise Transient(
            f"a file of the model is {size:,} bytes, and {tempfile.gettempdir()} has {free:,} free: make room there, or"
            " point TMPDIR at a larger disk",
            600.0,
        )


def _below(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or PurePosixPath(path).is_absolute():
        raise Terminal(f"the model's files are listed with one outside of its folder, {plain(path)}")
    return path


@contextmanager
def _from_store(doing: str, uri: str) -> Iterator[None]:
    """What MLflow's artifact stores raise, as our own: each brings an SDK with errors of its own.

    The address `uri` is told already, and would crowd out the cause.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        yield
    except WatcherError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        sentence = f"could not {doing}: {shown(f'{type(error).__name__} ({_cause(error, uri)})')}"
        missing = isinstance(error, ImportError | FileNotFoundError | NotADirectoryError)
        if missing or getattr(error, "error_code", "") in _NEVER:
            raise Terminal(sentence) from None
        raise Transient(sentence) from None


def _cause(error: Exception, uri: str) -> str:
    """What an error says, without what MLflow puts before the one of the only file that was asked for."""
    return str(error).rpartition("#####")[2].strip().replace(uri, "there")
