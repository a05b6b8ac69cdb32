"""Before rule 12: a version that nothing else objects to is scored beside the champion."""

from __future__ import annotations

from watcher.decide.world import Decision, World
from watcher.evaluations import Progress
from watcher.values import Verb, Verdict


def evaluate(world: World) -> Decision | None:
    """Start one evaluation, the newest version's first, while none of this model is under way.

    What loses anyway is not scored: its verdict is tagged before this is asked.
    """
    if under_way(world):
        return None
    due = [number for number, verdict in world.verdicts.items() if _awaits(verdict)]
    return world.do(Verb.EVALUATE, "evaluation_started", version=max(due)) if due else None


def under_way(world: World) -> str:
    """The versions that are being scored: `v12`; empty where none is."""
    seen = sorted(world.snapshot.evaluations.items())
    return ", ".join(f"v{number}" for number, found in seen if found.progress is Progress.RUNNING)


def _awaits(verdict: Verdict) -> bool:
    """Whether the version may be scored and was not: while its files cannot be read, that rests on something open."""
    return ("evaluated", "evaluation_awaited") in {(finding.rule, finding.reason) for finding in verdict.findings}
