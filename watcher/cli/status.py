"""`watcher status`."""

from __future__ import annotations

from typing import Any

from watcher.cli.exits import Exit
from watcher.cli.models import Found, Models, chosen, each
from watcher.cli.session import Session
from watcher.cli.several import lines_of, worst
from watcher.cli.show import (
    Planned,
    planned,
    rollout_json,
    rollout_line,
    step_json,
    step_line,
    step_notes,
    target_json,
    target_lines,
)
from watcher.text import plain
from watcher.values import Marks


def status(session: Session, models: Models = None) -> Exit:
    """Show what serves where, and what is waited for."""
    wanted = chosen(session, models)
    with session.out.busy(f"Looking at {len(wanted)} models"):
        found = each(wanted, lambda watched: planned(session, watched))
    session.out.give([_json(entry) for entry in found])
    for entry in found:
        _say(session, entry)
    if not found:
        session.out.say("No model of the registry is watched.")
    return worst(session, found)


def _json(entry: Found[Planned]) -> dict[str, Any]:
    plan = entry.answer
    if plan is None:
        return {"model": entry.model, "error": str(entry.error)}
    marks, watched = plan.snapshot.marks, plan.snapshot.watched
    return {
        "model": entry.model,
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
        "rollout": rollout_json(plan),
        "next": step_json(plan.decision.step, plan.decision.look_again),
    }


def _say(session: Session, entry: Found[Planned]) -> None:
    plan = entry.answer
    if plan is None:
        return
    marks, watched, step = plan.snapshot.marks, plan.snapshot.watched, plan.decision.step
    session.out.say(f"{plain(entry.model)}  (mode {watched.mode}, policy {plain(watched.policy.name)})")
    notes = [("champion", _champion(plan))]
    rollout = rollout_json(plan)
    if rollout is not None:
        notes.append(("challenger", rollout_line(rollout, plan.now)))
    if marks.hold is not None:
        notes.append(("hold", plain(marks.hold)))
    if plan.snapshot.paused:
        notes.append(("paused", "the watcher observes and does nothing else"))
    notes.append(("floor", _floor(marks)))
    for view in plan.snapshot.targets:
        notes += target_lines(view)
    notes.append(("next", step_line(entry.model, step).removeprefix(f"{plain(entry.model)}: ")))
    notes += step_notes(step, plan.decision.look_again, plan.now)
    lines_of(session, notes)


def _champion(plan: Planned) -> str:
    marks = plan.snapshot.marks
    if not marks.exists:
        return "none: the registry has no such model"
    if marks.champion is None:
        return "none"
    gone = "" if plan.snapshot.champion else ", which does not exist"
    previous = f", before it v{marks.crown.previous}" if marks.crown and marks.crown.previous else ""
    unmet = ", an order that is not met yet" if marks.crown and not marks.crown.met else ""
    return f"v{marks.champion}{gone}{unmet}{previous}"


def _floor(marks: Marks) -> str:
    if marks.problem:
        return plain(marks.problem, 500)
    return f"{marks.crown.floor}" if marks.crown else "0"
