"""What a decision adds to the history: verdicts that are new, and states that last, each told once."""

from __future__ import annotations

from dataclasses import asdict, replace

from watcher.decide.world import Decision, World
from watcher.ports import Line
from watcher.values import Verdict

QUIET = frozenset({"nothing_to_do", "backoff", "launching", "roll_back_done", "stale_read", "young_ledger"})
"""Waits that pass by themselves, or are told by the line of what failed."""


def tell(world: World, decision: Decision) -> Decision:
    """The decision with its new lines, and a record that remembers what was told."""
    told, lines = dict(decision.record.told), list(decision.lines)
    for number in sorted(world.verdicts):
        verdict, version = world.verdicts[number], world.snapshot.version(number)
        if version is not None and version.call is not None:
            continue  # called already: what the rules would say of it now is no news
        name, text = f"verdict:{verdict.identity.key}", f"{verdict.call}:{verdict.reason}"
        if told.get(name) != text:
            told[name] = text
            lines.append(world.line("verdict", version=number, reason=verdict.reason, data=verdict_data(verdict)))
    judged = {f"verdict:{v.identity.key}" for v in world.verdicts.values()}
    if world.verdicts:
        told = {k: v for k, v in told.items() if not k.startswith("verdict:") or k in judged}
    decision = replace(decision, lines=tuple(lines), record=replace(decision.record, told=told))
    return mention(decision, world.record.told.get("wait"), world.name, world.now)


def mention(decision: Decision, before: str | None, model: str, now: float) -> Decision:
    """The decision with a line for the state it waits in, unless that was told last (`before`)."""
    step, told = decision.step, dict(decision.record.told)
    state = f"{step.reason}:{step.detail}"
    lines = decision.lines
    if decision.waits and step.reason not in QUIET:
        told["wait"] = state
        if before != state:
            told_now = Line(now, model, "told", version=step.version, reason=step.reason, data={"detail": step.detail})
            lines = (*lines, told_now)
    elif not decision.waits or step.reason == "nothing_to_do":
        told.pop("wait", None)
    return replace(decision, lines=lines, record=replace(decision.record, told=told))


def verdict_data(verdict: Verdict) -> dict[str, object]:
    """JSON values of a verdict for the history."""
    return {
        "call": str(verdict.call),
        "reason": verdict.reason,
        "score": verdict.score,
        "findings": [
            {k: v for k, v in asdict(finding).items() if k != "until"} | {"call": str(finding.call)}
            for finding in verdict.findings
        ],
    }
