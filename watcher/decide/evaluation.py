"""Before rule 12: a version that nothing else objects to is scored beside the champion."""

from __future__ import annotations

from watcher.decide.world import Decision, World
from watcher.evaluations import Progress
from watcher.values import Call, Verb, Verdict


def evaluate(world: World) -> Decision | None:
    """Start one evaluation, the newest version's first, while none of this model is under way."""
    if under_way(world):
        return None
    seen = world.snapshot.evaluations
    due = [
        number
        for number, verdict in world.verdicts.items()
        if number in seen and seen[number].progress is Progress.ABSENT and _wanted(verdict)
    ]
    return world.do(Verb.EVALUATE, "evaluation_started", version=max(due)) if due else None


def under_way(world: World) -> str:
    """The versions that are being scored: `v12`; empty where none is."""
    seen = sorted(world.snapshot.evaluations.items())
    return ", ".join(f"v{number}" for number, found in seen if found.progress is Progress.RUNNING)


def _wanted(verdict: Verdict) -> bool:
    """Whether the verdict waits for it: what loses anyway is not scored."""
    return verdict.call is Call.WAITS and any(f.reason == "evaluation_awaited" for f in verdict.findings)
