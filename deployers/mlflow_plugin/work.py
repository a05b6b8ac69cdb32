"""Operations that outlive a wake-up: a folder for each, begun in a process of its own, observed by what it leaves."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployers import background

JOB, LOCK, STARTED, MADE, RESULT, LOG = "job.json", "lock", "started", "made", "result.json", "log"
START = 10.0
"""Seconds for an operation to have left this process."""
BEGUN = 60.0
"""Seconds after which an operation that has not begun never will."""
RUNNING, DONE, FAILED, LOST = "running", "done", "failed", "lost"


@dataclass(frozen=True, slots=True)
class Work:
    """How far an operation is."""

    state: str
    result: Mapping[str, Any] = field(default_factory=dict)
    at: float = 0.0
    """When it was asked for."""
    made: bool = False
    """Whether it had found no deployment of the name, and began to create one: what is there is ours."""

    @property
    def met(self) -> bool:
        """Whether it found a deployment that it was not allowed to change, and left it alone."""
        return bool(self.result.get("met"))

    @property
    def ended(self) -> float:
        """When it was through; 0 where it is not."""
        return float(self.result.get("ended") or 0.0)

    @property
    def why(self) -> str:
        """What the plugin said where it failed."""
        return str(self.result.get("error") or "the plugin did not say why")


class Works:
    """The operations of one place. `run` begins the one in a folder and returns soon."""

    def __init__(self, folder: Path, run: Callable[[Path], None], clock: Callable[[], float]) -> None:
        self._folder, self._run, self._clock = folder, run, clock

    def prepare(self, job: Mapping[str, Any]) -> str:
        """Write an operation down; its id. Whoever finds it not begun in time counts it as lost."""
        key = secrets.token_hex(8)
        folder = self._folder / key
        folder.mkdir(parents=True, mode=0o700)
        replace(folder / JOB, {**job, "at": self._clock()})
        return key

    def begin(self, key: str) -> None:
        """Raises Transient where no process can be started."""
        self._run(self._folder / key)

    def of(self, key: str | None) -> Work:
        """How far it is; what was never written down is lost."""
        folder = self._folder / (key or "none")
        job = read(folder / JOB)
        if job is None:
            return Work(LOST)
        at = float(job.get("at") or 0.0)
        # The lock is looked at first: a result that comes meanwhile is there when it is read.
        held = _is_held(folder / LOCK)
        result, made = read(folder / RESULT), (folder / MADE).exists()
        if result is not None:
            return Work(DONE if result.get("ok") is True else FAILED, result, at, made)
        waits = not (folder / STARTED).exists() and self._clock() < at + BEGUN
        return Work(RUNNING if held or waits else LOST, {}, at, made)

    def forget(self, kept: set[str]) -> None:
        """Remove what nobody speaks of any more, unless it still runs."""
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder.name not in kept and self.of(folder.name).state != RUNNING:
                for file in folder.iterdir():
                    file.unlink(missing_ok=True)
                folder.rmdir()


def start(tracking_uri: str | None, folder: Path) -> None:
    """Begin an operation in a process that leaves at once. Raises Transient where it cannot be started."""
    command = [sys.executable, "-m", "deployers.mlflow_plugin", str(folder)]
    background.start(command, "deployers", tracking_uri, START, "an operation of the plugin cannot be started")


def read(path: Path) -> dict[str, Any] | None:
    """A document; None where there is none, or none that is whole."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def replace(path: Path, body: Mapping[str, Any]) -> None:
    """Write a document whole, or not at all."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    scratch.touch(mode=0o600)
    with scratch.open("w", encoding="utf-8") as file:
        json.dump(body, file)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _is_held(lock: Path) -> bool:
    try:
        found = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(found, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(found)
    return False
