"""What the ledger remembers of a step once its outcome is known. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from watcher.decide.settle import live_of
from watcher.errors import UnderWay
from watcher.ports import Line
from watcher.record import Attempts, Moved, Probed, Record
from watcher.snapshot import Snapshot
from watcher.values import NOTHING, Crown, Observed, Probe, Step, Verb

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 600.0
SHORT_PAUSES = 3
"""Conflicts in a row after which looking again is slowed down: one is an answer, many are a fight."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a step failed: `transient`, `terminal` or `conflict`, and in whose words."""

    kind: str
    why: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class After:
    """What is to be saved once the step is over."""

    record: Record
    lines: tuple[Line, ...]
    due: float
    """When to look at the model again."""


def pause(count: int) -> float:
    """Seconds before try number `count + 1`: doubled each time, to a cap."""
    return float(min(FIRST_PAUSE * 2 ** min(count - 1, 20), LONGEST_PAUSE))


def done(
    snapshot: Snapshot, record: Record, step: Step, probe: Probe | None, now: float, about: Mapping[str, Any]
) -> After:
    """The step had its effect: forget its failed tries, remember what only this worker knows."""
    name, place = snapshot.watched.name, step.target or ""
    attempts = {slot: tried for slot, tried in record.attempts.items() if slot != step.slot}
    if step.verb is Verb.LAUNCH:
        # Forgotten when the release is seen ready: until then another launch of it is another try.
        before = record.attempts.get(step.slot)
        count = before.count + 1 if before else 1
        attempts[step.slot] = Attempts(count, now + pause(count), "launched, and not seen ready")
    record = replace(record, intent=None, attempts=attempts)
    lines = [Line(now, name, "done", step.target, step.version, step.reason, _about(step, about))]
    if step.crown is not None:
        record = replace(record, n=max(record.n, step.crown.n))
        if step.crown.crowned != (snapshot.marks.crown or Crown()).crowned:
            # Once more: the verb may have taken long, and the old release is kept warm from here on.
            record = replace(record, crowned_at=now)
    if step.verb is Verb.NOMINATE:
        version = snapshot.version(step.version)
        record = replace(
            record,
            rollout=step.version,
            rollout_key=version.identity.key if version else "",
            rollout_since=now,
            rolled_back="",
            probed=NOTHING,
            baseline=NOTHING,
            held_since=None,
        )
        lines.append(Line(now, name, "rollout_started", version=step.version, reason=step.reason))
    elif step.verb is Verb.UNMARK and step.version == record.rollout:
        record = replace(
            record,
            rollout=None,
            rollout_key="",
            rollout_since=0.0,
            rolled_back="",
            probed=NOTHING,
            baseline=NOTHING,
            held_since=None,
            attempts=NOTHING,
        )
    elif step.verb is Verb.CROWN:
        previous, n = (step.crown.previous, step.crown.n) if step.crown else (None, 0)
        record = replace(record, told={**record.told, "crowned": f"{step.version}:{n}"})
        lines.append(
            Line(now, name, "crowned", version=step.version, data={"version": step.version, "previous": previous})
        )
    elif step.verb is Verb.LAUNCH:
        asked_again = {k: v for k, v in record.probed.items() if k != place}
        record = replace(record, probed=asked_again, launched={**record.launched, place: now})
    elif probe is not None:
        record = replace(record, probed={**record.probed, place: _probed(step, probe, now)})
    elif step.verb is Verb.SHIFT:
        record, told = _shifted(snapshot, record, step, now)
        lines.extend(told)
    return After(record, tuple(lines), now)


def failed(
    snapshot: Snapshot, record: Record, step: Step, failure: Failure, now: float, about: Mapping[str, Any]
) -> After:
    """The step did not have its effect, or nobody knows: count it, and say when to try again."""
    tried = record.attempts.get(step.slot)
    count = tried.count + 1 if tried else 1
    wait = pause(count)
    if failure.kind == "conflict" and count <= SHORT_PAUSES:
        wait = 0.0
    if failure.retry_after is not None:
        wait = max(wait, failure.retry_after)
    terminal = failure.kind == "terminal"
    entry = Attempts(count, now + wait, failure.why, terminal)
    record = replace(record, intent=None, attempts={**record.attempts, step.slot: entry})
    data = _about(step, about) | {"detail": failure.why, "attempt": count}
    line = Line(now, snapshot.watched.name, "failed", step.target, step.version, failure.kind, data)
    return After(record, (line,), now)


def under_way(
    snapshot: Snapshot, record: Record, step: Step, error: UnderWay, now: float, about: Mapping[str, Any]
) -> After:
    """The step was taken further and is not through: how often it failed before stays as it was."""
    tried = record.attempts.get(step.slot)
    again = now + (error.retry_after or 0.0)
    entry = Attempts(tried.count if tried else 0, again, str(error), going_on=True)
    record = replace(record, intent=None, attempts={**record.attempts, step.slot: entry})
    data = _about(step, about) | {"detail": str(error)}
    line = Line(now, snapshot.watched.name, "under_way", step.target, step.version, step.reason, data)
    return After(record, (line,), again)


def _probed(step: Step, probe: Probe, now: float) -> Probed:
    """A probe that another version answered proves nothing about this one."""
    other = probe.version is not None and probe.version != step.version
    detail = f"v{probe.version} answered instead of v{step.version}" if other else probe.detail
    return Probed(step.release or "", probe.ok and not other, now, detail)


def _about(step: Step, about: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {"verb": str(step.verb), "slot": step.slot, "release": step.release, "detail": step.detail}
    if step.verb in (Verb.SHIFT, Verb.MIRROR):
        plain["weights"] = dict(step.weights)
    if step.call is not None:
        plain["call"] = str(step.call)
    return {key: value for key, value in {**plain, **about}.items() if value not in (None, "")}


def _shifted(snapshot: Snapshot, record: Record, step: Step, now: float) -> tuple[Record, tuple[Line, ...]]:
    """What the target serves by this step is told now, or remembered until it is seen to."""
    place = step.target or ""
    # What was not seen is never shifted.
    seen = {view.target.name: view.seen for view in snapshot.targets if isinstance(view.seen, Observed)}[place]
    serving = live_of(replace(seen, weights=step.weights))
    asked = Moved(step.version, step.reason, serving, _answered(seen), _mirrored(seen))
    if seen.delayed:
        return replace(record, moved={**record.moved, place: asked}), ()
    line = Line(now, snapshot.watched.name, "live", step.target, step.version, step.reason, asked.told)
    return replace(record, live={**record.live, place: serving}), (line,)


def _answered(seen: Observed) -> dict[str, dict[str, int]]:
    """Version -> what it answered on a target since the change before this one, as it was counted just before it."""
    return {
        str(release.version): {"requests": release.traffic.requests, "errors": release.traffic.errors}
        for release in seen.releases
        if release.ours and seen.weights.get(release.name) and release.traffic.available
    }


def _mirrored(seen: Observed) -> Mapping[str, float | None]:
    """What a mirror that ends with this change found, nothing where there was none."""
    copies = seen.mirrored
    if copies is None:
        return NOTHING
    versions = {release.name: release.version for release in seen.releases}
    return {"version": versions.get(copies.release), **copies.figures}
