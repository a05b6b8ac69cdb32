"""Which models to wake: the change poll, the marks sweep, what the ledger says is due, and the resync."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from watcher.errors import Conflict
from watcher.ports import Feed, Ledger
from watcher.slots import free, holders
from watcher.values import Marks

KEY = "#poll"
OVERLAP_MS = 600_000
"""Timestamps are stamped before commit, so a version may appear behind the watermark: ten minutes are read again."""


@dataclass
class Poller:
    """Remembers what it saw last; forgetting it costs one extra wake-up a model, never correctness."""

    feed: Feed
    ledger: Ledger
    watches: Callable[[str], bool]
    """Whether the settings name this model."""
    named: tuple[str, ...]
    """Models that the settings name outright, present or not."""
    known: set[str] = field(default_factory=set)
    swept: dict[str, Marks] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known.update(self.named)

    def changes(self) -> set[str]:
        """Watched models that were touched since the last poll. One registry call while nothing changes."""
        stored = self.ledger.load(KEY)
        watermark = int(stored.body.get("watermark", 0)) if stored else 0
        seen: Mapping[str, int] = stored.body.get("seen", {}) if stored else {}
        found = self.feed.changed(max(watermark - OVERLAP_MS, 0))
        fresh = {c.name for c in found if seen.get(c.name) != c.updated_ms}
        top = max([watermark, *(c.updated_ms for c in found)])
        if fresh or stored is None:
            kept = {c.name: c.updated_ms for c in found if c.updated_ms >= top - OVERLAP_MS}
            # Where another worker polled at the same time, both wake the same models, which is harmless.
            with contextlib.suppress(Conflict):
                self.ledger.save(KEY, {"watermark": top, "seen": kept}, stored.revision if stored else None)
        return self._watched(fresh)

    def marks(self) -> set[str]:
        """Watched models whose marks are not what they were: aliases and tags touch nothing that `changes` sees."""
        found = self.feed.marks(sorted(self.known))
        moved = {name for name, marks in found.items() if self.swept.get(name) != marks}
        self.swept.update(found)
        return moved

    def due(self, now: float) -> set[str]:
        """Models whose ledger record asks to be looked at."""
        return {key for key in self.ledger.due(now) if not key.startswith("#") and self.watches(key)}

    def resync(self) -> set[str]:
        """Every watched model there is, and those that the settings name although nobody sees them.

        Slots of models that the settings no longer name are given back: nobody else would.
        """
        for holder in holders(self.ledger):
            if not self.watches(holder):
                free(self.ledger, holder)
        return self._watched(self.feed.names()) | set(self.named)

    def _watched(self, names: Iterable[str]) -> set[str]:
        watched = {name for name in names if self.watches(name)}
        self.known |= watched
        return watched
