"""Which version the next rows are scored with: the pointer is read between two micro-batches, never within one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic

from scoring import pointer as pointers
from scoring.errors import POINTER, Stop
from scoring.models import Models, T
from scoring.pointer import Pointer, Release
from scoring.report import RUNNING, WAITING, Report

TRIES = 3
"""Times that a version must fail to load before it is told: a storage may be out for a moment."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


class Swap(Generic[T]):
    """Follows one pointer. What runs goes on until what comes next is loaded, and while nobody can read the pointer."""

    def __init__(self, uri: str, report: Report, load: Callable[[Release], T]) -> None:
        self._uri, self._report = uri, report
        self._models = Models(load)
        self._failed, self._not_before = 0, 0.0
        self._tried = ""
        self.scorer: T | None = None
        self.token = ""
        """Of the pointer that `scorer` was taken from."""
        self.failing: Stop | None = None
        """Why what the pointer names does not load, None where it does or was not tried."""

    def follow(self, ready: float = 0.0) -> T | None:
        """What to score the next rows with, None without anything. Waits at most `ready` seconds for a load."""
        try:
            pointer = pointers.read(self._uri)
        except Stop as error:
            release = self.scorer.release if self.scorer else None
            told = Stop(error.kind, f"v{release.version} goes on: {error}") if release else error
            self._report.fails(told, release, self.token)
            return self.scorer
        self._report.fine(POINTER)
        if pointer is None or pointer.live is None:
            self._none(pointer)
        elif pointer.token != self.token:
            self._take(pointer, ready)
        return self.scorer

    def ahead(self) -> None:
        """Begin to load what the pointer names, so that it is ready when `follow` is next asked; what runs stays."""
        try:
            pointer = pointers.read(self._uri)
        except Stop:
            return  # `follow` tells it
        if pointer is not None and pointer.live is not None and pointer.token != self.token and self._due(pointer):
            self._hold(pointer.live)
            self._models.begin(pointer.live)

    def close(self) -> None:
        self._models.close()

    def _none(self, pointer: Pointer | None) -> None:
        token = pointer.token if pointer else ""
        if self.scorer is not None or self.token != token:
            self.scorer, self.token = None, token
            self._models.keep()
            self._report.tell(state=WAITING, running=None, error=None)

    def _take(self, pointer: Pointer, ready: float) -> None:
        release = pointer.live
        if release is None or not self._due(pointer):
            return
        self._hold(release)
        self.failing = None
        try:
            found = self._models.get(release, ready)
        except Stop as error:
            self.failing = error
            self._failed += 1
            self._not_before = time.monotonic() + min(FIRST_PAUSE * 2 ** (self._failed - 1), LONGEST_PAUSE)
            if self._failed >= TRIES:
                self._report.fails(error, release, pointer.token)
            return
        if found is None:
            return
        self.scorer, self.token = found, pointer.token
        self._models.keep(release)
        told = {"release": release.name, "version": release.version, "key": release.key, "token": pointer.token}
        traffic = {"token": pointer.token, "rows": 0, "p95_ms": None}
        self._report.tell(
            state=RUNNING, model=release.model, running=told | {"since": time.time()}, traffic=traffic, error=None
        )

    def _due(self, pointer: Pointer) -> bool:
        """Whether what it names may be tried now: what failed rests for a while."""
        if pointer.token != self._tried:
            self._tried, self._failed, self._not_before = pointer.token, 0, 0.0
        return time.monotonic() >= self._not_before

    def _hold(self, release: Release) -> None:
        """Forget every version but this one and what runs."""
        self._models.keep(release, self.scorer.release if self.scorer else None)
