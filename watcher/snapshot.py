"""One model's world at one moment, gathered by `gather.py`; all that `judge` and `decide` may look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watcher.evaluations import CONFIDENCE, Evaluated, Evaluation
from watcher.record import Record
from watcher.settings import Watched
from watcher.values import NOTHING, EvidenceOf, Example, Gone, Marks, Observed, Target, Unseen, Version


@dataclass(frozen=True, slots=True)
class TargetView:
    """One target with what was seen of it."""

    target: Target
    seen: Observed | Unseen
    atomic: bool = True
    mirrors: bool = False
    """Whether its deployer can copy live requests."""


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
    """Of whatever is judged now, and of the champion that it is compared with."""
    evaluations: Mapping[int, Evaluated] = NOTHING
    """How far the evaluation of each candidate against the champion is, where the policy asks for one."""
    example: Example | None = None
    """What a probe of the challenger asks: the rollout's file, or the model's own example. Read when it is due."""
    newest: int = 0
    """Highest version number that any read of this wake-up showed."""
    turn: int = 0
    """The number up to which candidates were read in turn, 0 where this wake-up read them all."""
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


def evaluation_of(watched: Watched, record: Record, challenger: Version, champion: Version | None) -> Evaluation | None:
    """What is asked of the evaluator about one version, None where the policy asks for nothing."""
    rules = watched.policy.evaluate
    if rules is None:
        return None
    confidence = watched.policy.primary.confidence or CONFIDENCE
    return Evaluation(challenger, champion, rules, confidence, record.looks)
