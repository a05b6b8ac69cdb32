"""One process of the host: the app is built at its first use, and kept."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from watcher import exporting, heartbeat, telemetry
from watcher.errors import WatcherError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from watcher.poll import Poller
    from watcher.reconcile import Loop
    from watcher.wiring import App

log = logging.getLogger("watcher")

CONFIG = "WATCHER_CONFIG"
"""Environment variable that names the settings file; by default `watch.yaml` beside the function app."""
SCHEDULE = "WATCHER_POLL_SCHEDULE"
EVERY_MINUTE = "0 * * * * *"
DEADLINE = 120.0
"""Seconds for one wake-up, far below `functionTimeout` in host.json: a time-out there kills all that runs beside it."""


@dataclass
class Host:
    """What the functions of one process share. Safe to use from several threads."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Callable[[], float] = time.time
    found: set[str] = field(default_factory=set)
    """Models that a poll found, and failed before it could hand them on."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _app: App | None = None
    _poller: Poller | None = None
    _page: ASGIApp | None = None
    _exports: bool = False
    """Whether it was looked where telemetry goes; once, also where the settings are a mistake at every call."""

    @property
    def schedule(self) -> str:
        """When `poll` runs."""
        return self.environ.get(SCHEDULE, EVERY_MINUTE)

    @property
    def app(self) -> App:
        """Raises UserError for a mistake in the settings, at every call until it is mended and the host restarted."""
        with self._lock:
            if self._app is None:
                from watcher import wiring

                # The storage SDKs log each request twice at INFO, as if they were the user's own lines.
                logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
                if not self._exports:
                    self._exports = True
                    self._export()
                self._app = wiring.load(
                    self.folder / self.environ.get(CONFIG, "watch.yaml"), self.environ, exporting.tell
                )
                for note in self._app.notes:
                    log.warning("%s", note)
            return self._app

    def _export(self) -> None:
        if exporting.export(self.environ):
            # What is exported with its trace need not go through the host, without it, once more.
            log.propagate = False
        if exporting.exported():
            telemetry.age(self._age)

    def _age(self) -> float | None:
        """Seconds since the heartbeat; asked from a thread of its own, which a ledger out of reach must not end."""
        app = self._app
        try:
            beat = heartbeat.last(app.ledger) if app else None
        except WatcherError:
            return None
        return None if beat is None else max(self.clock() - beat.at, 0.0)

    @property
    def poller(self) -> Poller:
        with self._lock:
            if self._poller is None:
                self._poller = self.app.poller()
            return self._poller

    def page(self, root_path: str) -> ASGIApp:
        """The status page, mounted at `root_path`: built once, with whatever the first caller says."""
        with self._lock:
            if self._page is None:
                from watcher.page.app import build

                self._page = build(self.app, root_path=root_path)
            return self._page

    def loop(self) -> Loop:
        """A worker for one wake-up. Of its own name: a repeated message may run beside it, in this very process."""
        loop = self.app.loop
        return replace(loop, worker=f"{loop.worker}:{secrets.token_hex(4)}", deadline=min(loop.deadline, DEADLINE))
