"""A policy replayed over the versions that there are: who would have reigned, who would have been refused, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from watcher.evaluations import Evaluated
from watcher.policy import Policy
from watcher.record import Record
from watcher.settings import Watched
from watcher.snapshot import Snapshot
from watcher.values import Call, Crown, EvidenceOf, Marks, Verdict, Version

CALLED = frozenset({Call.WINS, Call.DISPLACED})
"""Tags of versions that reigned, or were about to."""


@dataclass(frozen=True)
class Replayed:
    """One version, judged against whoever would have reigned when it was registered."""

    version: Version
    against: int | None
    verdict: Verdict

    @property
    def reigns(self) -> bool:
        return self.verdict.call is Call.WINS

    @property
    def was(self) -> str:
        """What really became of it, as its tag tells."""
        return str(self.version.call) if self.version.call is not None else "not called"

    @property
    def differs(self) -> bool:
        """Whether it would have won where it did not, or the other way round."""
        return self.version.call is not None and self.reigns != (self.version.call in CALLED)


def timeless(policy: Policy) -> Policy:
    """The policy without what depends on the hour: age and window would only have delayed a winner."""
    return replace(policy, min_age=0.0, change_window=None)


def replayed(
    watched: Watched,
    versions: Iterable[Version],
    evidence: Callable[[Version], EvidenceOf | None],
    evaluated: Callable[[Version, Version | None], Evaluated | None],
    now: float,
) -> list[Replayed]:
    """Judge the versions in the order of their numbers, each against the winner before it."""
    from watcher.judge import explain

    watched = replace(watched, policy=timeless(watched.policy))
    champion: Version | None = None
    found: list[Replayed] = []
    known: dict[int, EvidenceOf] = {}
    for version in sorted(versions, key=lambda v: v.number):
        read = evidence(version)
        if read is not None:
            known[version.number] = read
        seen = evaluated(version, champion)
        there = [v for v in (version, champion) if v is not None]
        reigning = champion.number if champion else None
        snapshot = Snapshot(
            watched=watched,
            record=Record(born=0.0, first_seen={version.identity.key: version.identity.created_ms / 1000}),
            marks=Marks(
                watched.name,
                reigning,
                crown=Crown(crowned=reigning, floor=reigning) if reigning is not None else None,
                newest=version.number,
            ),
            targets=(),
            versions={v.number: v for v in there},
            evidence={v.number: known[v.number] for v in there if v.number in known},
            evaluations={version.number: seen} if seen is not None else {},
            newest=version.number,
        )
        entry = Replayed(version, reigning, explain(snapshot, version.number, now))
        found.append(entry)
        if entry.reigns:
            champion = version
    return found


def replayed_json(entry: Replayed) -> dict[str, Any]:
    """One version of a backtest."""
    return {
        "version": entry.version.number,
        "created": entry.version.identity.created_ms / 1000,
        "against": entry.against,
        "call": entry.verdict.call,
        "reason": entry.verdict.reason,
        "score": entry.verdict.score,
        "findings": entry.verdict.findings,
        "was": entry.version.call,
        "differs": entry.differs,
    }
