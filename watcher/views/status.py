"""One model as it is: what serves where, and what is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watcher.record import left_behind
from watcher.text import plain
from watcher.values import Call, Marks
from watcher.views.show import Planned, rollout_json, step_json, target_json


def status_json(plan: Planned) -> dict[str, Any]:
    """Marks, targets, rollout and the next step."""
    marks, watched = plan.snapshot.marks, plan.snapshot.watched
    return {
        "model": watched.name,
        "mode": watched.mode,
        "policy": watched.policy.name,
        "exists": marks.exists,
        "champion": marks.champion,
        "challenger": marks.challenger,
        "hold": marks.hold,
        "paused": plan.snapshot.paused,
        "floor": marks.crown.floor if marks.crown else 0,
        "previous": marks.crown.previous if marks.crown else None,
        "met": marks.crown.met if marks.crown else None,
        "problem": marks.problem,
        "newest": plan.snapshot.newest,
        "targets": [target_json(view) for view in plan.snapshot.targets],
        "left": left_of(plan),
        "rollout": rollout_json(plan),
        "next": step_json(plan.decision.step, plan.decision.look_again),
    }


def left_of(plan: Planned) -> Mapping[str, Mapping[str, int]]:
    """What served, when last seen, at targets that the settings no longer name: target -> version -> percent."""
    return left_behind(plan.decision.record, (target.name for target in plan.snapshot.watched.targets))


def champion_line(plan: Planned) -> str:
    """`v12, an order that is not met yet, before it v11`."""
    marks, champion = plan.snapshot.marks, plan.snapshot.champion
    if not marks.exists:
        return "none: the registry has no such model"
    if marks.champion is None:
        return "none"
    gone = "" if champion else ", which does not exist"
    previous = f", before it v{marks.crown.previous}" if marks.crown and marks.crown.previous else ""
    unmet = ", an order that is not met yet" if marks.crown and not marks.crown.met else ""
    if unmet and champion and champion.call is Call.UNMET:
        unmet = ", an order that cannot be met"
    return f"v{marks.champion}{gone}{unmet}{previous}"


def floor_line(marks: Marks) -> str:
    """The floor, or why nobody knows it."""
    if marks.problem:
        return plain(marks.problem, 500)
    return f"{marks.crown.floor}" if marks.crown else "0"
