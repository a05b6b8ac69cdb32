"""`watcher status`."""

from __future__ import annotations

from typing import Any

from watcher.cli.exits import Exit
from watcher.cli.models import Models, chosen
from watcher.cli.session import Session
from watcher.cli.several import lines_of, worst
from watcher.text import plain
from watcher.views.models import Found, each
from watcher.views.show import (
    Planned,
    left_lines,
    planned,
    rollout_json,
    rollout_line,
    step_line,
    step_notes,
    target_lines,
)
from watcher.views.status import champion_line, floor_line, left_of, status_json


def status(session: Session, models: Models = None) -> Exit:
    """Show what serves where, and what is waited for."""
    wanted = chosen(session, models)
    with session.out.busy(f"Looking at {len(wanted)} model{'s' if len(wanted) != 1 else ''}"):
        found = each(wanted, lambda watched: planned(session.app, watched))
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
    return status_json(plan)


def _say(session: Session, entry: Found[Planned]) -> None:
    plan = entry.answer
    if plan is None:
        return
    marks, watched, step = plan.snapshot.marks, plan.snapshot.watched, plan.decision.step
    session.out.say(f"{plain(entry.model)}  (mode {watched.mode}, policy {plain(watched.policy.name)})")
    notes = [("champion", champion_line(plan))]
    rollout = rollout_json(plan)
    if rollout is not None:
        notes.append(("challenger", rollout_line(rollout, plan.now)))
    if marks.hold is not None:
        notes.append(("hold", plain(marks.hold)))
    if plan.snapshot.paused:
        notes.append(("paused", "the watcher observes and does nothing else"))
    notes.append(("floor", floor_line(marks)))
    for view in plan.snapshot.targets:
        notes += target_lines(view)
    notes += left_lines(entry.model, left_of(plan))
    notes.append(("next", step_line(entry.model, step).removeprefix(f"{plain(entry.model)}: ")))
    notes += step_notes(step, plan.decision.look_again, plan.now)
    lines_of(session, notes)
