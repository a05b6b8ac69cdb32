"""`watcher plan`."""

from __future__ import annotations

from watcher.cli.exits import Exit
from watcher.cli.models import Models, chosen
from watcher.cli.session import Session
from watcher.cli.several import lines_of, worst
from watcher.views.models import Found, each
from watcher.views.show import Planned, planned, step_json, step_line, step_notes, verdict_json, verdict_line


def plan(session: Session, models: Models = None) -> Exit:
    """Show what would be done next, and why. Changes nothing."""
    wanted = chosen(session, models)
    with session.out.busy(f"Looking at {len(wanted)} model{'s' if len(wanted) != 1 else ''}"):
        found = each(wanted, lambda watched: planned(session.app, watched))
    session.out.give([_json(entry) for entry in found])
    for entry in found:
        _say(session, entry)
    if not found:
        session.out.say("No model of the registry is watched.")
    return worst(session, found)


def _json(entry: Found[Planned]) -> dict[str, object]:
    plan = entry.answer
    if plan is None:
        return {"model": entry.model, "error": str(entry.error)}
    return {
        "model": entry.model,
        "step": step_json(plan.decision.step, plan.decision.look_again),
        "verdicts": [verdict_json(verdict) for verdict in plan.verdicts.values()],
    }


def _say(session: Session, entry: Found[Planned]) -> None:
    plan = entry.answer
    if plan is None:
        return
    session.out.say(step_line(entry.model, plan.decision.step))
    notes = step_notes(plan.decision.step, plan.decision.look_again, plan.now)
    notes += [(f"v{number}", verdict_line(verdict)) for number, verdict in sorted(plan.verdicts.items())]
    lines_of(session, notes)
