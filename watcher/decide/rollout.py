"""Rule 9: one forward step of the challenger, after the champion was healed everywhere."""

from __future__ import annotations

from watcher.decide.analysis import Outcome, analyse
from watcher.decide.drift import bring_up, obstacle
from watcher.decide.rollback import roll_back
from watcher.decide.world import Decision, World, name_of, sooner, state, weight
from watcher.record import Phase
from watcher.snapshot import TargetView
from watcher.values import Kind, Observed, State, Unseen, Verb, Version

ALL = 100
"""Percent of a target's traffic."""


def roll_out(world: World) -> Decision | None:
    """Launch everywhere, probe everywhere, canary in lockstep, jobs, crown."""
    challenger = world.challenger
    if challenger is None:
        return None
    failed = _failed(world, challenger)
    if failed is not None:
        return failed
    bad = _bad(world, challenger)
    if bad is not None:
        return bad
    world = _clock(world)
    if world.record.held_since is None and _late(world):
        return roll_back(world, "rollout_deadline", f"not crowned within {world.snapshot.watched.rollout.deadline:g} s")
    healing = [step for view in world.targets if (step := _heal(world, view, challenger)) is not None]
    if healing:
        return sooner(healing)
    if world.snapshot.marks.hold is not None:
        return world.wait("held", f"held: {world.snapshot.marks.hold}")
    for stage in (_launch, _probe, _canary, _switch):
        decision = stage(world, challenger)
        if decision is not None:
            return decision
    return _crown(world, challenger)


def _failed(world: World, challenger: Version) -> Decision | None:
    release = name_of(challenger) or ""
    for view in world.targets:
        if isinstance(view.seen, Observed) and state(view, release) is State.FAILED:
            seen = view.seen.release(release)
            return roll_back(world, "challenger_failed", f"{view.target.name}: {seen.detail if seen else ''}")
        for verb, reason in ((Verb.LAUNCH, "launch_failed"), (Verb.PROBE, "probe_failed")):
            tried = world.tried(verb, view, release)
            if tried is not None and tried.terminal:
                return roll_back(world, reason, f"{view.target.name}: {tried.why}")
        probed = world.record.probed.get(view.target.name)
        if probed is not None and probed.release == release and not probed.ok:
            return roll_back(world, "probe_failed", f"{view.target.name}: {probed.detail}")
    return None


def _bad(world: World, challenger: Version) -> Decision | None:
    """A canary that fails its analysis goes back at once, in the middle of its bake and under a hold too."""
    champion, release = name_of(world.champion), name_of(challenger) or ""
    rules = world.snapshot.watched.rollout
    for view in world.targets:
        if champion is None or view.target.shape is not Kind.ENDPOINT or weight(view, release) == 0:
            continue
        phase = world.record.phases.get(view.target.name, Phase("", world.now))
        baked = world.now >= phase.since + rules.bake
        found = analyse(view, champion, release, rules.analysis, world.record, baked=baked)
        if found.outcome is Outcome.BAD:
            return roll_back(world, found.reason, found.detail)
    return None


def _clock(world: World) -> World:
    """A hold, and a pause before it, stop the clock of the rollout."""
    since = world.record.held_since
    if world.snapshot.marks.hold is not None:
        return world.remembering(held_since=world.now if since is None else since)
    if since is None:
        return world
    return world.remembering(held_since=None, rollout_since=world.record.rollout_since + world.now - since)


def _late(world: World) -> bool:
    return world.now >= world.record.rollout_since + world.snapshot.watched.rollout.deadline


def stages(world: World, view: TargetView) -> tuple[int, ...]:
    """The challenger's weights in turn on this target: the canary only for endpoints that have a champion."""
    if view.target.shape is Kind.ENDPOINT and world.champion is not None:
        return world.snapshot.watched.rollout.canary
    return (ALL,)


def _split(champion: str | None, challenger: str, percent: int) -> dict[str, int]:
    weights = {challenger: percent}
    if champion is not None:
        weights[champion] = ALL - percent
    return {name: share for name, share in weights.items() if share > 0}


def _heal(world: World, view: TargetView, challenger: Version) -> Decision | None:
    """The champion keeps its share, ready; anything that is not a stage of this rollout goes back to the champion."""
    blocked = obstacle(world, view)
    if blocked is not None:
        return blocked
    champion, release = world.champion, name_of(challenger) or ""
    if isinstance(view.seen, Unseen):
        return None
    if champion is not None:
        up = bring_up(world, view, champion, "drift_launch")
        if up is not None:
            return up
    kept = name_of(champion)
    allowed = (
        [_split(kept, release, percent) for percent in (0, *stages(world, view))] if kept else [{}, {release: ALL}]
    )
    if dict(view.seen.weights) in allowed:
        return None
    back = {kept: ALL} if kept else {}
    return world.do(
        Verb.SHIFT,
        "drift_shift",
        target=view.target.name,
        release=kept or "",
        version=champion.number if champion else None,
        weights=back,
    )


def _launch(world: World, challenger: Version) -> Decision | None:
    steps = [step for view in world.targets if (step := bring_up(world, view, challenger, "launch")) is not None]
    return sooner(steps) if steps else None


def _probe(world: World, challenger: Version) -> Decision | None:
    release = name_of(challenger) or ""
    for view in world.targets:
        probed = world.record.probed.get(view.target.name)
        if probed is not None and probed.release == release and probed.ok:
            continue
        return _ask(world, view, challenger)
    return None


def _ask(world: World, view: TargetView, challenger: Version) -> Decision:
    if world.snapshot.example is None:
        return world.wait("no_example", f"v{challenger.number}", world.now + world.snapshot.evidence_every)
    return world.do(
        Verb.PROBE, "probe", target=view.target.name, version=challenger.number, release=name_of(challenger)
    )


def _canary(world: World, challenger: Version) -> Decision | None:
    """Shift the endpoint that is furthest behind, each step after a full bake and a good analysis of all."""
    release, kept = name_of(challenger) or "", name_of(world.champion)
    endpoints = [view for view in world.targets if view.target.shape is Kind.ENDPOINT]
    if not endpoints:
        return None
    behind = min(weight(view, release) for view in endpoints)
    if kept is not None:
        for view in endpoints:
            if weight(view, release) > 0:
                decision = _bake(world, view, challenger, kept)
                if isinstance(decision, Decision):
                    return decision
                world = decision
    for view in endpoints:
        now_at = weight(view, release)
        if now_at == behind and now_at < ALL:
            following = min(percent for percent in stages(world, view) if percent > now_at)
            return world.do(
                Verb.SHIFT,
                "canary_step",
                target=view.target.name,
                version=challenger.number,
                release=release,
                weights=_split(kept, release, following),
            )
    return None if behind == ALL else world.wait("launching", until=world.now)


def _bake(world: World, view: TargetView, challenger: Version, kept: str) -> World | Decision:
    """Wait for the bake and the analysis of one endpoint; the world with its baseline once both are done."""
    rollout, release = world.snapshot.watched.rollout, name_of(challenger) or ""
    phase = world.record.phases.get(view.target.name, Phase("", world.now))
    ends, percent = phase.since + rollout.bake, weight(view, release)
    baked = world.now >= ends
    found = analyse(view, kept, release, rollout.analysis, world.record, baked=baked)
    if not baked:
        detail = f"v{challenger.number} at {percent}% of {view.target.name}"
        return world.wait("baking", detail, min(ends, world.now + max(rollout.bake / 10, 0.1)))
    if found.outcome is Outcome.INCONCLUSIVE:
        probed = world.record.probed.get(view.target.name)
        again = world.now + min(max(rollout.bake / 10, 0.1), 30.0)
        if rollout.analysis.no_traffic != "probe":
            return world.wait(found.reason, f"v{challenger.number} at {percent}%", again)
        if probed is None or probed.at < ends:
            return _ask(world, view, challenger)
    if found.baseline is not None:
        errors, p95 = found.baseline
        kept_figures = {"errors": errors} | ({"p95_ms": p95} if p95 is not None else {})
        world = world.remembering(baseline={**world.record.baseline, view.target.name: kept_figures})
    return world


def _switch(world: World, challenger: Version) -> Decision | None:
    release = name_of(challenger) or ""
    for view in world.targets:
        if view.target.shape is not Kind.ENDPOINT and weight(view, release) < ALL:
            return world.do(
                Verb.SHIFT,
                "switch",
                target=view.target.name,
                version=challenger.number,
                release=release,
                weights={release: ALL},
            )
    return None


def _crown(world: World, challenger: Version) -> Decision:
    before = world.snapshot.marks.champion
    crowned = world.next_crown(
        crowned=challenger.number,
        previous=before,
        floor=max(world.crown.floor, before or 0),
        met=True,
        displaced=None,
    )
    world = world.remembering(crowned_at=world.now)
    return world.do(Verb.CROWN, "crown", version=challenger.number, crown=crowned)
