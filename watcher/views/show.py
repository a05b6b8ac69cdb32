"""One model's world and the step that comes next, as a person reads it and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from watcher.reasons import REASONS
from watcher.record import Record, from_json, key_of
from watcher.sentences import render, stamp
from watcher.text import plain, without_secrets
from watcher.values import Call, Kind, Observed, SeenRelease, Step, Target, Verb, Verdict
from watcher.views.awaited import awaited
from watcher.views.times import span, when

if TYPE_CHECKING:
    from watcher.decide import Decision
    from watcher.settings import Watched
    from watcher.snapshot import Snapshot, TargetView
    from watcher.views.app import App


@dataclass(frozen=True)
class Planned:
    """One model as it is, with its verdicts and the step that comes next."""

    snapshot: Snapshot
    decision: Decision
    verdicts: Mapping[int, Verdict]
    now: float


def record_of(app: App, model: str) -> Record:
    """What the ledger remembers of a model; a new record where it remembers nothing that can be read."""
    stored = app.ledger.load(key_of(model))
    try:
        return from_json(stored.body) if stored else Record(born=app.clock())
    except ValueError:
        return Record(born=app.clock())


def planned(app: App, watched: Watched) -> Planned:
    """Gather, judge and decide, and change nothing. Raises Transient where registry or ledger are out of reach."""
    from watcher.decide.world import Decision, World
    from watcher.slots import holders

    now, record = app.clock(), record_of(app, watched.name)
    if app.ledger.load(key_of(watched.name)) is None:
        # The loop looks for a moment at a model it never saw before it acts; what it does then is the plan.
        record = replace(record, born=0.0)
    snapshot, verdicts, decision = app.loop.plan(watched, record, now)
    if record.intent is not None and record.intent.until > now:
        waits = Step(Verb.WAIT, reason="leased", detail=record.intent.step)
        decision = Decision(waits, decision.record, record.intent.until, decision.lines)
    elif decision.step.verb is Verb.NOMINATE:
        held = holders(app.ledger)
        if watched.name not in held and len(held) >= app.settings.limits.rollouts_at_once:
            waits = Step(Verb.WAIT, version=decision.step.version, reason="slots_full", detail=", ".join(held))
            decision = replace(decision, step=waits)
    step = awaited(decision.step, verdicts, unmet=World(snapshot, verdicts, now, record).unmet)
    return Planned(snapshot, replace(decision, step=step), verdicts, now)


def step_json(step: Step, again: float | None) -> dict[str, Any]:
    """The step with the sentence of its reason, and when the model is looked at again."""
    known = REASONS.get(step.reason)
    return {
        "verb": step.verb,
        "target": step.target,
        "version": step.version,
        "release": step.release,
        "weights": dict(step.weights),
        "call": step.call,
        "reason": step.reason,
        "because": known.sentence if known else "",
        "remedy": known.remedy if known and known.remedy != "Nothing." else "",
        "detail": plain(step.detail, 500),
        "again": again,
    }


def step_line(model: str, step: Step) -> str:
    """The step as one sentence that starts with the model's name."""
    from watcher.ports import Line

    if step.verb is Verb.WAIT:
        known = REASONS.get(step.reason)
        said = known.sentence if known else step.reason
        detail = f" ({plain(step.detail, 500)})" if step.detail else ""
        return f"{plain(model)}: waits. {said}{detail}"
    data = {"verb": str(step.verb), "release": step.release, "weights": dict(step.weights), "detail": step.detail}
    return render(Line(0.0, model, "intent", step.target, step.version, step.reason, data))


def step_notes(step: Step, again: float | None, now: float) -> list[tuple[str, str]]:
    """What else is to be said of a step: why, what a person can do, when the model is looked at again."""
    known = REASONS.get(step.reason)
    notes = []
    if known and step.verb is not Verb.WAIT:
        notes.append(("why", known.sentence))
    if known and known.remedy != "Nothing.":
        notes.append(("you", known.remedy))
    if again is not None and again > now:
        notes.append(("again", when(again, now)))
    return notes


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict with its findings."""
    return {
        "version": verdict.identity.version,
        "call": verdict.call,
        "reason": verdict.reason,
        "score": verdict.score,
        "until": verdict.until,
        "findings": verdict.findings,
    }


def verdict_line(verdict: Verdict) -> str:
    """`loses: The primary metric is …`."""
    known = REASONS.get(verdict.reason)
    # Another rule may wait for another time: what is told is when this reason may end.
    told = next((finding.until for finding in verdict.findings if finding.reason == verdict.reason), None)
    until = f" until {stamp(told)}" if told is not None and verdict.call is Call.WAITS else ""
    return f"{verdict.call}{until}: {known.sentence if known else verdict.reason}"


def target_json(view: TargetView) -> dict[str, Any]:
    """One target as it was observed."""
    target, seen = view.target, view.seen
    told: dict[str, Any] = {
        "name": target.name,
        "kind": target.kind,
        "place": without_secrets(target.place),
        "seen": False,
    }
    if not isinstance(seen, Observed):
        return told | {"problem": plain(seen.why, 500)}
    return told | {
        "seen": True,
        "problem": seen.problem,
        "adopted": seen.adopted,
        "weights": {_label(seen, name): percent for name, percent in seen.weights.items()},
        "releases": [
            {
                "name": release.name,
                "version": release.version,
                "ours": release.ours,
                "percent": seen.weights.get(release.name, 0),
                "state": release.state,
                "detail": release.detail,
                "traffic": release.traffic,
            }
            for release in seen.releases
        ],
    }


def left_lines(model: str, left: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
    """One line a target that the settings no longer name: what served there when it was last seen, and what to do."""
    told = []
    for name, weights in left.items():
        shares = ", ".join(f"{'v' if label.isdecimal() else ''}{plain(label)} {n} %" for label, n in weights.items())
        todo = f"name it again, or stop it by hand and run `watcher forget {plain(model)} {plain(name)}`"
        told.append((plain(name), f"no longer in the settings, and served {shares} when it was last seen: {todo}"))
    return told


def target_lines(view: TargetView) -> list[tuple[str, str]]:
    """One line a release, the one with most traffic first; or why nothing can be said."""
    name, seen = plain(view.target.name), view.seen
    if not isinstance(seen, Observed):
        return [(name, f"cannot be seen: {plain(seen.why, 500)}")]
    lines = [(name, f"refuses: {plain(seen.problem, 500)}")] if seen.problem else []
    if not seen.adopted:
        lines.append((name, "serves something that nobody lent: see `watcher adopt --help`"))
    releases = sorted(seen.releases, key=lambda release: -seen.weights.get(release.name, 0))
    lines += [(name, _release(release, seen.weights.get(release.name, 0))) for release in releases]
    return lines or [(name, "serves nothing")]


def _release(release: SeenRelease, percent: int) -> str:
    known = f", v{release.version}" if release.version else ""
    whose = f"v{release.version}" if release.ours else f"{plain(release.name)} (not ours{known})"
    parts = [f"{whose} {percent} %", str(release.state)]
    traffic = release.traffic
    if percent and not traffic.available:
        parts.append("its traffic is not known")
    elif percent:
        slow = f", p95 {traffic.p95_ms:.3g} ms" if traffic.p95_ms is not None else ""
        parts.append(f"{traffic.requests:,} requests, {traffic.errors:,} errors{slow}")
    return ", ".join(parts) + (f" ({plain(release.detail, 500)})" if release.detail else "")


def _label(seen: Observed, name: str) -> str:
    release = seen.release(name)
    return str(release.version) if release and release.ours else name


def rollout_json(plan: Planned) -> dict[str, Any] | None:
    """The rollout under way: since when, its canary steps, the share it has reached; None without one."""
    number = plan.snapshot.marks.challenger or plan.snapshot.record.rollout
    if number is None:
        return None
    record = plan.decision.record
    places = list(_places(plan, number))
    return {
        "version": number,
        "since": record.rollout_since or None,
        "percent": min((seen.weights.get(name, 0) for _, seen, name in places), default=0),
        "canary": plan.snapshot.watched.rollout.canary,
        "mirror": {
            target.name: copies.figures for target, seen, name in places if (copies := seen.copies(name)) is not None
        },
        "bakes_until": _bakes_until(plan, number),
        "ends_at": record.rollout_since + plan.snapshot.watched.rollout.deadline if record.rollout_since else None,
        "rolled_back": record.rolled_back or None,
    }


def _bakes_until(plan: Planned, number: int) -> float | None:
    """When the canary step that runs longest has been watched for long enough, None where none is being watched."""
    snapshot, phases = plan.snapshot, plan.decision.record.phases
    ends = [
        phases[target.name].since + snapshot.watched.rollout.bake
        for target, seen, name in _places(plan, number)
        if target.shape is Kind.ENDPOINT and target.name in phases and snapshot.champion is not None
        if seen.weights.get(name) or seen.copies(name) is not None
    ]
    return max(ends, default=None)


def _places(plan: Planned, number: int) -> Iterator[tuple[Target, Observed, str]]:
    """Every target that was seen to have a release of a version, with the name of the release."""
    for view in plan.snapshot.targets:
        if isinstance(seen := view.seen, Observed):
            names = (release.name for release in seen.releases if release.ours and release.version == number)
            yield from ((view.target, seen, name) for name in names)


def rollout_line(rollout: Mapping[str, Any], now: float) -> str:
    """`v4 for 3 min, 10 % of the traffic (steps 10, 50, 100)`."""
    since = f" for {span(max(now - rollout['since'], 0))}" if rollout["since"] else ""
    if rollout["rolled_back"]:
        return f"v{rollout['version']}{since}, on its way back: {plain(rollout['rolled_back']).replace('_', ' ')}"
    steps = ", ".join(str(percent) for percent in rollout["canary"])
    shares = sorted({copies["percent"] for copies in rollout["mirror"].values()})
    copies = f", given copies of {', '.join(map(str, shares))} %" if shares else ""
    return f"v{rollout['version']}{since}, at {rollout['percent']} % (steps {steps}){copies}"
