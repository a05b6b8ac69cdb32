"""What a view is taken of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from watcher.ports import Ledger
from watcher.reconcile import Loop
from watcher.settings import Settings, Watched


class App(Protocol):
    """The parts of `watcher.wiring.App` that looking needs."""

    @property
    def settings(self) -> Settings: ...

    @property
    def registry(self) -> Any:
        """Feed, Registry and Evidence in one adapter."""
        ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def loop(self) -> Loop: ...

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since the epoch."""
        ...

    def watched(self, model: str) -> Watched | None:
        """What the settings say about a model, None where they do not name it."""
        ...
