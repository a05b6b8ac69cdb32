"""A ledger that tells every line it writes, for whoever watches the watcher work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watcher.ports import Ledger, Line, Stored


@dataclass(frozen=True, slots=True)
class TellingLedger:
    """Delegates to `inner`; `tell` is called with each line once it is written."""

    inner: Ledger
    tell: Callable[[Line], None]

    def load(self, key: str) -> Stored | None:
        return self.inner.load(key)

    def save(
        self,
        key: str,
        body: Mapping[str, Any],
        unchanged: str | None,
        lines: Sequence[Line] = (),
        due: float | None = None,
    ) -> str:
        revision = self.inner.save(key, body, unchanged, lines, due)
        for line in lines:
            self.tell(line)
        return revision

    def due(self, now: float) -> Sequence[str]:
        return self.inner.due(now)

    def history(
        self,
        model: str | None = None,
        until: float | None = None,
        since: float | None = None,
        most: int = 1000,
        *,
        newest_first: bool = True,
        event: str | None = None,
        target: str | None = None,
    ) -> Sequence[Line]:
        return self.inner.history(model, until, since, most, newest_first=newest_first, event=event, target=target)
