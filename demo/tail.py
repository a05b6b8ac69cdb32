"""The history as it grows: every line once, shown as it comes, and waited for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from watcher.errors import Transient
from watcher.ledger import SQLITE, open_ledger
from watcher.ports import Ledger, Line

T = TypeVar("T")
EVERY = 0.1
OVERLAP = 5.0
"""Seconds that are read again: lines are stamped a little before they are written."""
MOST = 100_000


class Tail:
    """Reads the ledger at `path` in a thread of its own, once there is one; `show` is called with each new line."""

    def __init__(self, path: Path, show: Callable[[Line], None]) -> None:
        self._path, self._show = path, show
        self._ledger: Ledger | None = None
        self._seen: dict[str, float] = {}
        self._lines: list[Line] = []
        self._grew = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tail", daemon=True)

    @property
    def lines(self) -> Sequence[Line]:
        """All lines so far, oldest first."""
        with self._grew:
            return tuple(self._lines)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Read what is left, and end."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def wait(self, found: Callable[[Sequence[Line]], T | None], seconds: float) -> T | None:
        """Wait until the lines hold something; None where they do not in time."""
        deadline = time.monotonic() + seconds
        with self._grew:
            while (answer := found(self._lines)) is None and time.monotonic() < deadline:
                self._grew.wait(EVERY)
            return answer

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            self._read()
        self._read()

    def _read(self) -> None:
        if self._ledger is None:
            if not self._path.exists():
                return
            self._ledger = open_ledger(f"{SQLITE}{self._path.name}", self._path.parent)
        newest = self._lines[-1].at if self._lines else 0.0
        try:
            found = self._ledger.history(since=newest - OVERLAP, most=MOST, newest_first=False)
        except Transient:
            return
        fresh = [line for line in found if self._is_new(line)]
        for line in fresh:
            self._show(line)
        if fresh:
            with self._grew:
                self._lines += fresh
                self._grew.notify_all()
            self._seen = {text: at for text, at in self._seen.items() if at >= newest - 2 * OVERLAP}

    def _is_new(self, line: Line) -> bool:
        text = json.dumps(asdict(line), sort_keys=True, default=str)
        if text in self._seen:
            return False
        self._seen[text] = line.at
        return True
