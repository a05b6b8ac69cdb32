"""One model's world at one moment, gathered by `gather.py`; all that `judge` and `decide` may look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watcher.record import Record
from watcher.settings import Watched
from watcher.values import NOTHING, EvidenceOf, Example, Gone, Marks, Observed, Target, Unseen, Version


@dataclass(frozen=True, slots=True)
class TargetView:
    """One target with what was seen of it."""

    target: Target
    seen: Observed | Unseen
    atomic: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One model's settings, memory, marks, versions, evidence and targets."""

    watched: Watched
    record: Record
    marks: Marks
    targets: tuple[TargetView, ...]
    versions: Mapping[int, Version | Gone] = NOTHING
    """Everything a mark names, by direct get, and what the listing showed."""
    evidence: Mapping[int, EvidenceOf] = NOTHING
    """Of the champion and of every candidate."""
    example: Example | None = None
    """What a probe of the challenger asks: the rollout's file, or the model's own example."""
    newest: int = 0
    """Highest version number that any read of this wake-up showed."""
    staleness: float = 0.0
    lease: float = 0.0
    """Seconds for which an intent binds: the slowest verb of any of the targets."""
    evidence_every: float = 60.0
    """Seconds after which versions that wait are looked at again."""
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
