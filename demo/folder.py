"""The demo's folder: everything it makes lies beneath it, and nothing that is not the demo's own is ever wiped."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.errors import DemoError

MARKER = "made-by-the-demo"
"""A file that says whose folder this is; locked for as long as a demo runs."""


@dataclass(frozen=True, slots=True)
class Folder:
    """Where things lie."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "watch.yaml"

    @property
    def database(self) -> Path:
        return self.path / "mlflow.db"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.database}"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    @property
    def answers(self) -> Path:
        return self.path / "answers"

    @property
    def counts(self) -> Path:
        return self.path / "counts.json"

    @property
    def ledger(self) -> Path:
        return self.path / "state" / "ledger.db"

    @property
    def gateway(self) -> Path:
        return self.path / "state" / "gateway"

    @property
    def features(self) -> Path:
        return self.path / "features"

    @property
    def scores(self) -> Path:
        return self.path / "scores"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def stream_log(self) -> Path:
        return self.path / "stream.log"

    @property
    def batch_log(self) -> Path:
        return self.path / "batch.log"

    def pointer(self, name: str) -> Path:
        """Where a job finds which version to score with."""
        return self.path / "state" / f"{name}.json"

    @property
    def processes(self) -> Path:
        return self.path / "processes"

    @property
    def watcher_log(self) -> Path:
        return self.path / "watcher.log"

    @property
    def client_log(self) -> Path:
        return self.path / "client.log"

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    def wipe(self) -> None:
        """Remove everything of an earlier demo. Only under `taken`."""
        for entry in self.path.iterdir():
            if entry.name == MARKER:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


@contextlib.contextmanager
def taken(path: Path) -> Iterator[Folder]:
    """The folder for this demo alone, made where it is not there.

    Raises DemoError where another demo runs in it, or where it holds something that no demo made.
    """
    folder = Folder(path.absolute())
    marker = folder.path / MARKER
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        if not marker.exists() and any(folder.path.iterdir()):
            raise DemoError(f"{folder.path} holds files that no demo made: name a new or an empty folder.")
        file = marker.open("a+")
    except OSError as error:
        raise DemoError(f"{folder.path} cannot be used as the demo's folder: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise DemoError(
                f"A demo runs in {folder.path} (process {file.read().strip()}): end it, or name another folder with"
                " --folder."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield folder
