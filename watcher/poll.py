"""Which models to wake: the change poll, the marks sweep, what the ledger says is due, and the resync."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from watcher.errors import Conflict, WatcherError
from watcher.pause import UNTIL_RESUMED, paused
from watcher.ports import Feed, Ledger, Stored
from watcher.record import model_of
from watcher.slots import free, holders
from watcher.values import NOTHING, Marks

KEY = "#poll"
SWEPT = "#marks"
"""What the last sweep saw, so that a process that starts wakes only what moved since."""
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
    clock: Callable[[], float] = time.time
    known: set[str] = field(default_factory=set)
    swept: dict[str, str] = field(default_factory=dict)
    """Name -> digest of its marks when they were seen last."""
    missed: set[str] = field(default_factory=set)
    """Known models that the last resync did not see. Those that the next one misses too are forgotten."""
    _remembered: bool = False
    _saved: tuple[dict[str, str], frozenset[str]] = field(default_factory=lambda: ({}, frozenset()))

    def __post_init__(self) -> None:
        self.known.update(self.named)

    def changes(self) -> set[str]:
        """Watched models that were touched since the last poll. One registry call while nothing changes."""
        stored = self.ledger.load(KEY)
        # A registry whose clock runs ahead stamps times that have not come yet: beyond our own time there is no
        # watermark, or everything stamped before such a time would be passed over until then.
        latest = int(self.clock() * 1000)
        watermark, seen = _memory(stored)
        watermark = min(watermark, latest)
        found = self.feed.changed(max(watermark - OVERLAP_MS, 0))
        fresh = {c.name for c in found if seen.get(c.name) != c.updated_ms}
        top = min(max([watermark, *(c.updated_ms for c in found)]), latest)
        if fresh or stored is None:
            kept = {c.name: c.updated_ms for c in found if c.updated_ms >= top - OVERLAP_MS}
            # Where another worker polled at the same time, both wake the same models, which is harmless.
            with contextlib.suppress(Conflict):
                self.ledger.save(KEY, {"watermark": top, "seen": kept}, stored.revision if stored else None)
        return self._watched(fresh)

    def marks(self) -> set[str]:
        """Watched models whose marks are not what they were: aliases and tags touch nothing that `changes` sees."""
        again = self._remember()
        found = {name: _digest(marks) for name, marks in self.feed.marks(sorted(self.known)).items()}
        moved = {name for name, digest in found.items() if self.swept.get(name) != digest}
        self.swept.update(found)
        self._keep(moved)
        return moved | again

    def due(self, now: float) -> set[str]:
        """Models whose ledger record asks to be looked at; in a pause without those that wait for its end."""
        keys = set(self.ledger.due(now))
        if keys and paused(self.ledger):
            keys -= set(self.ledger.due(UNTIL_RESUMED))
        return {name for key in keys if (name := model_of(key)) is not None and self.watches(name)}

    def resync(self) -> set[str]:
        """Every watched model there is, and those that the settings name although nobody sees them.

        Slots of models that the settings no longer name are given back: nobody else would.
        """
        for holder in holders(self.ledger):
            if not self.watches(holder):
                free(self.ledger, holder)
        there = self._watched(self.feed.names())
        self._forget(self.known - there - set(self.named))
        return there | set(self.named)

    def _remember(self) -> set[str]:
        """Read once what the sweep before this process saw; models that it found moved, and may not have handed on."""
        if self._remembered:
            return set()
        swept, moved = _sweep(self.ledger.load(SWEPT))
        self.swept = {name: digest for name, digest in swept.items() if self.watches(name)}
        self._remembered, self._saved = True, (dict(swept), moved)
        return self._watched({*self.swept}) & moved

    def _keep(self, moved: set[str]) -> None:
        """Write down what was seen, where that is new; it only saves wake-ups, so nothing depends on it."""
        if self._saved == (dict(self.swept), frozenset(moved)):
            return
        swept = dict(self.swept)
        # Where it cannot be written, or there are more models than one record holds, a process that starts wakes more.
        with contextlib.suppress(WatcherError):
            stored = self.ledger.load(SWEPT)
            body = {"format": 1, "marks": swept, "moved": sorted(moved)}
            self.ledger.save(SWEPT, body, stored.revision if stored else None)
            self._saved = (swept, frozenset(moved))

    def _forget(self, missing: set[str]) -> None:
        """One listing may be short; what two in a row do not show is asked about no longer, until it is seen again."""
        gone = self.missed & missing
        self.missed = missing - gone
        self.known -= gone
        for name in gone:
            self.swept.pop(name, None)

    def _watched(self, names: Iterable[str]) -> set[str]:
        watched = {name for name in names if self.watches(name)}
        self.known |= watched
        return watched


def _memory(stored: Stored | None) -> tuple[int, Mapping[str, int]]:
    """Watermark and seen-set; what cannot be read counts as never polled."""
    body = stored.body if stored else {}
    watermark, seen = body.get("watermark", 0), body.get("seen")
    return watermark if isinstance(watermark, int) else 0, seen if isinstance(seen, Mapping) else NOTHING


def _sweep(stored: Stored | None) -> tuple[Mapping[str, str], frozenset[str]]:
    """Digests by name, and who had moved; what cannot be read counts as never swept."""
    body = stored.body if stored else {}
    swept, moved = body.get("marks"), body.get("moved")
    if not isinstance(swept, Mapping) or not isinstance(moved, list):
        return NOTHING, frozenset()
    return {n: d for n, d in swept.items() if isinstance(d, str)}, frozenset(n for n in moved if isinstance(n, str))


def _digest(marks: Marks) -> str:
    return hashlib.sha256(repr(marks).encode("utf-8", "surrogatepass")).hexdigest()[:16]
