"""One model's world at one moment, gathered by `gather.py`; all that `judge` and `decide` may look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watcher.record import Record
from watcher.settings import Watched
from watcher.values import NOTHING, EvidenceOf, Gone, Marks, Observed, Target, Unseen, Version


@dataclass(frozen=True, slots=True)
class TargetView:
    target: Target
    seen: Observed | Unseen
    atomic: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    watched: Watched
    record: Record
    marks: Marks
    targets: tuple[TargetView, ...]
    versions: Mapping[int, Version | Gone] = NOTHING
    """Everything a mark names, by direct get, and what the listing showed."""
    evidence: Mapping[int, EvidenceOf] = NOTHING
    """Of the champion and of every candidate."""
    staleness: float = 0.0
    paused: bool = False

    def version(self, number: int | None) -> Version | None:
        """The version, None where it is gone or was not read."""
        found = self.versions.get(number) if number is not None else None
        return found if isinstance(found, Version) else None

    @property
    def champion(self) -> Version | None:
        return self.version(self.marks.champion)

    @property
    def challenger(self) -> Version | None:
        return self.version(self.marks.challenger)
