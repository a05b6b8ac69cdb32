"""What a decision adds to the history: verdicts that are new, and states that last, each told once."""

from __future__ import annotations

import json
from dataclasses import fields, replace

from watcher.decide.world import Decision, World
from watcher.ports import Line
from watcher.record import changed, left_behind
from watcher.values import Finding, Observed, SeenRelease, State, Verdict, Wrote

QUIET = frozenset(
    {
        "nothing_to_do",
        "backoff",
        "launching",
        "probing",
        "evaluating",
        "target_moving",
        "roll_back_done",
        "stale_read",
        "young_ledger",
    }
)
"""Waits that pass by themselves, or are told by the line of what failed."""
_FINDING = tuple(field.name for field in fields(Finding) if field.name != "until")
LEFT = "The settings no longer name this target: what serves there goes on, unseen and unmoved"


def tell(world: World, decision: Decision) -> Decision:
    """The decision with its new lines, and a record that remembers what was told."""
    told, lines = dict(decision.record.told), list(decision.lines)
    for number in sorted(world.verdicts):
        verdict = world.verdicts[number]
        name, text = f"verdict:{verdict.identity.key}", f"{verdict.call}:{verdict.reason}"
        if told.get(name) != text:
            told[name] = text
            lines.append(world.line("verdict", version=number, reason=verdict.reason, data=verdict_data(verdict)))
    if world.verdicts:
        # Of those whose turn it was not, what was told is still so; and of all while a rollout keeps them from being
        # judged.
        kept = {*decision.record.first_seen, *(v.identity.key for v in world.verdicts.values())}
        told = {k: v for k, v in told.items() if not k.startswith("verdict:") or k.removeprefix("verdict:") in kept}
    left = left_behind(decision.record, (target.name for target in world.snapshot.watched.targets))
    told = {k: v for k, v in told.items() if not k.startswith("left:") or k.removeprefix("left:") in left}
    for name, weights in left.items():
        text = json.dumps(weights, sort_keys=True)
        if told.get(f"left:{name}") != text:
            told[f"left:{name}"] = text
            data = {"state": "left", "weights": dict(weights), "detail": LEFT}
            lines.append(world.line("told", target=name, reason="target_left", data=data))
    written = _written(world)
    told = {k: v for k, v in told.items() if _may_be_there(world, k)}
    for key, (target, release, wrote) in written.items():
        text = f"{wrote.until if wrote.rows is None else wrote.rows}"
        if told.get(key) != text:
            told[key] = text
            lines.append(world.line("wrote", target=target, version=release.version, data=wrote_data(wrote)))
    decision = replace(decision, lines=tuple(lines), record=changed(decision.record, told=told))
    return mention(decision, world.record.told.get("wait"), world.name, world.now)


def _written(world: World) -> dict[str, tuple[str, SeenRelease, Wrote]]:
    """What jobs wrote with releases that they run no more, by the key under which it is told."""
    found = {}
    for view in world.targets:
        if not isinstance(view.seen, Observed):
            continue
        if any(r.state is not State.READY for r in view.seen.releases if view.seen.weights.get(r.name)):
            continue  # the pointer is moved, and the job may still write with what it ran before
        for release in view.seen.releases:
            if release.ours and release.wrote is not None and not view.seen.weights.get(release.name):
                found[f"wrote:{view.target.name}:{release.key}"] = (view.target.name, release, release.wrote)
    return found


def _may_be_there(world: World, key: str) -> bool:
    """Whether what was told under this key may be seen again, and is no news then: no job's release was seen gone."""
    for view in world.targets:
        if isinstance(view.seen, Observed) and key.startswith(f"wrote:{view.target.name}:"):
            return any(key.endswith(f":{release.key}") for release in view.seen.releases)
    return True


def wrote_data(wrote: Wrote) -> dict[str, object]:
    """JSON values of what a job wrote, for the history."""
    return {
        "rows": wrote.rows,
        "since": wrote.since,
        "until": wrote.until,
        "where": wrote.where,
        "folders": list(wrote.folders),
        "commits": list(wrote.commits or ()),
    }


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
    return replace(decision, lines=lines, record=changed(decision.record, told=told))


def verdict_data(verdict: Verdict) -> dict[str, object]:
    """JSON values of a verdict for the history."""
    return {
        "call": str(verdict.call),
        "reason": verdict.reason,
        "score": verdict.score,
        "findings": [
            {name: getattr(finding, name) for name in _FINDING} | {"call": str(finding.call)}
            for finding in verdict.findings
        ],
    }
