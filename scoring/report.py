"""What a job says of itself, in one document beside its pointer: what it runs, what it wrote, what is wrong.

`{"format", "kind", "engine", "at", "every", "state", "host", "pid", "model", "running", "traffic", "last", "wrote",
"error", "output", "environment", ...}`; times are seconds since the epoch. Whoever deploys reads it, nobody else writes
it. It is a copy of what stands in the output, never the truth: losing it loses nothing.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from scoring import documents, environment
from scoring.errors import Stop, sentence
from scoring.pointer import Release, is_document

FORMAT = 1
EVERY = 5.0
"""Seconds between two signs of life."""
SOON = 1.0
"""Seconds between two writes of nothing but progress."""
MOST_WROTE = 20
"""Releases of which is told what they wrote, the newest."""
RUNNING, WAITING, STOPPED = "running", "waiting", "stopped"


class Report:
    """The document of one job; written at once where something changes, and now and then while nothing does."""

    def __init__(self, pointer: str, kind: str, engine: str, **about: Any) -> None:
        self.uri = documents.beside(pointer, "status") if is_document(pointer) else None
        """None where the job was told its version: then nobody reads what it says of itself."""
        self._lock = threading.Lock()
        self._written = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="report", daemon=True)
        self._told: dict[str, Any] = {
            "format": FORMAT,
            "kind": kind,
            "engine": engine,
            "every": EVERY,
            "state": WAITING,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "running": None,
            "traffic": None,
            "last": None,
            "wrote": {},
            "error": None,
            "environment": environment.installed(),
            **about,
        }

    def before(self) -> Mapping[str, Any]:
        """What an earlier job at this pointer said last; nothing where it said nothing that can be read."""
        if self.uri is None:
            return {}
        try:
            found = documents.read(self.uri)
        except Stop:
            return {}
        return found if isinstance(found, dict) and found.get("format") == FORMAT else {}

    def start(self) -> None:
        """From here on there are signs of life."""
        self.write()
        self._thread.start()

    def end(self) -> None:
        """The last word."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.tell(state=STOPPED)

    def tell(self, **changes: Any) -> None:
        """Something changed that should be seen at once."""
        with self._lock:
            self._told.update(changes)
        self.write()

    def fails(self, error: Stop, release: Release | None, token: str) -> None:
        """What is wrong now, and with which release under which token of the pointer."""
        told = {
            "kind": error.kind,
            "message": sentence(error),
            "release": release.name if release else None,
            "token": token,
            "at": time.time(),
        }
        error.told = True
        with self._lock:
            before = self._told["error"]
            news = before is None or any(before[key] != told[key] for key in told if key != "at")
            if news:
                self._told["error"] = told
        if news:
            print(f"{told['message']}", file=sys.stderr, flush=True)
            self.write()

    def fine(self, kind: str, release: str | None = None) -> None:
        """What was wrong of this kind, with this release, is over."""
        with self._lock:
            error = self._told["error"]
            if error is not None and error["kind"] == kind and error["release"] == (release or error["release"]):
                self._told["error"] = None

    def note(self, **changes: Any) -> None:
        """Progress: seen soon, without a write for each."""
        with self._lock:
            self._told.update(changes)
            late = time.monotonic() - self._written >= SOON
        if late:
            self.write()

    def write(self) -> None:
        """Write it down. A store that does not answer keeps no job from going on."""
        with self._lock:
            self._told["at"] = time.time()
            self._written = time.monotonic()
            if self.uri is None:
                return
            try:
                documents.put(self.uri, self._told)
            except Stop as error:
                print(sentence(error), file=sys.stderr, flush=True)

    def _beat(self) -> None:
        while not self._stop.wait(EVERY / 5):
            if time.monotonic() - self._written >= EVERY:
                self.write()


class Wrote:
    """How much each release wrote, where and when; the newest releases only."""

    def __init__(self, before: Any) -> None:
        self.told: dict[str, dict[str, Any]] = {}
        if isinstance(before, dict):
            self.told = {name: dict(one) for name, one in before.items() if isinstance(one, dict)}

    def add(self, name: str, version: int, rows: int, at: float, **where: Any) -> None:
        """Some more rows. `where`: of a table `first` and `last`, its versions; of a folder `folder`."""
        one = self.told.pop(name, {"version": version, "rows": 0, "since": at})
        one |= {"rows": one["rows"] + rows, "until": at}
        if "folder" in where:
            one["folders"] = [*one.get("folders", []), where["folder"]][-100:]
        else:
            one["first"] = one.get("first", where["commit"])
            one["last"] = where["commit"]
        self.told[name] = one
        for old in list(self.told)[:-MOST_WROTE]:
            del self.told[old]
