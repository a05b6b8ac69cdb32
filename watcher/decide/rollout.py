"""Rule 9: one forward step of the challenger, after the champion was healed everywhere."""

from __future__ import annotations

from watcher.decide.analysis import Outcome, analyse
from watcher.decide.drift import bring_up, obstacle
from watcher.decide.rollback import roll_back
from watcher.decide.world import ALL, Decision, World, found, mirrored, name_of, sooner, weight, weights
from watcher.snapshot import TargetView
from watcher.values import Kind, State, Verb, Version


def roll_out(world: World) -> Decision | None:
    """Launch everywhere, probe everywhere, mirror, canary in lockstep, jobs, crown."""
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
        late = f"It was not crowned within {world.snapshot.watched.rollout.deadline:g} s"
        return roll_back(world, challenger.number, "rollout_deadline", late)
    healing = [step for view in world.targets if (step := _heal(world, view, challenger)) is not None]
    busy = bool(healing) and all(step.step.reason == "target_moving" for step in healing)
    if healing and not busy:
        return sooner(healing)
    if world.snapshot.marks.hold is not None:
        # Looked at by itself too: a hold that came and went between two sweeps of the marks has moved no mark.
        again = world.now + world.snapshot.evidence_every
        return world.wait("held", f"held: {world.snapshot.marks.hold}", again)
    if busy:
        return sooner([*healing, *_launches(world, challenger)])
    for stage in (_launch, _probe, _canary, _switch):
        decision = stage(world, challenger)
        if decision is not None:
            return decision
    return _crown(world, challenger)


def _failed(world: World, challenger: Version) -> Decision | None:
    release = name_of(challenger)
    for view in world.targets:
        seen = found(view, release)
        if seen is not None and seen.state is State.FAILED:
            return roll_back(world, challenger.number, "challenger_failed", f"{view.target.name}: {seen.detail}")
        for verb, reason in ((Verb.LAUNCH, "launch_failed"), (Verb.PROBE, "probe_failed")):
            tried = world.tried(verb, view, release)
            if tried is not None and tried.terminal:
                return roll_back(world, challenger.number, reason, f"{view.target.name}: {tried.why}")
        probed = world.record.probed.get(view.target.name)
        if probed is not None and not probed.ok:
            return roll_back(world, challenger.number, "probe_failed", f"{view.target.name}: {probed.detail}")
    return None


def _bad(world: World, challenger: Version) -> Decision | None:
    """A canary, or its mirror, that fails its analysis goes back at once, in mid bake and under a hold too."""
    champion, release = name_of(world.champion), name_of(challenger)
    rules = world.snapshot.watched.rollout
    for view in world.targets:
        # What somebody asks a release itself, past the traffic, says nothing of how it does beside the champion.
        asked = any((weight(view, release), mirrored(view, release)))
        if champion is None or view.target.shape is not Kind.ENDPOINT or not asked:
            continue
        baked = world.now >= world.record.phases[view.target.name].since + rules.bake
        said = analyse(view, champion, release, rules.analysis, world.record, baked=baked)
        if said.outcome is Outcome.BAD:
            return roll_back(world, challenger.number, said.reason, said.detail)
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


def stages(world: World) -> tuple[int, ...]:
    """The challenger's weights on an endpoint in turn: no canary without a champion beside it."""
    return world.snapshot.watched.rollout.canary if world.champion is not None else (ALL,)


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
    champion, release = world.champion, name_of(challenger)
    if champion is not None:
        up = bring_up(world, view, champion, "drift_launch")
        if up is not None:
            return up
    kept = name_of(champion)
    allowed = [_split(kept, release, percent) for percent in (0, *stages(world))] if kept else [{}, {release: ALL}]
    if dict(weights(view)) in allowed:
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
    steps = _launches(world, challenger)
    return sooner(steps) if steps else None


def _launches(world: World, challenger: Version) -> list[Decision]:
    """What is to be launched, or is coming up, on targets that can take it now: slow ones come up side by side."""
    free = [view for view in world.targets if obstacle(world, view) is None]
    return [step for view in free if (step := bring_up(world, view, challenger, "launch")) is not None]


def _probe(world: World, challenger: Version) -> Decision | None:
    for view in world.targets:
        if view.target.name not in world.record.probed:
            return _ask(world, view, challenger)
    return None


def _ask(world: World, view: TargetView, challenger: Version) -> Decision:
    probe = world.do(
        Verb.PROBE, "probe", target=view.target.name, version=challenger.number, release=name_of(challenger)
    )
    # While an earlier probe backs off or goes on, the example is not read.
    if probe.step.verb is Verb.PROBE and world.snapshot.example is None:
        return world.wait("no_example", f"v{challenger.number}", world.now + world.snapshot.evidence_every)
    return probe


def _mirror(world: World, endpoints: list[TargetView], challenger: Version, kept: str) -> World | Decision:
    """Before anyone is given its answers: a full bake and a good analysis of copies of every endpoint's requests."""
    release, percent = name_of(challenger), world.snapshot.watched.rollout.mirror
    unable = [view.target.name for view in endpoints if not view.mirrors]
    if unable:
        again = world.now + world.snapshot.evidence_every
        return world.wait("cannot_mirror", f"v{challenger.number} on {', '.join(unable)}", again)
    for view in endpoints:
        copies = mirrored(view, release)
        if copies is None or copies.percent != percent:
            return world.do(
                Verb.MIRROR,
                "mirror_step",
                target=view.target.name,
                version=challenger.number,
                release=release,
                weights={release: percent},
            )
    return _baked(world, endpoints, challenger, kept)


def _baked(world: World, endpoints: list[TargetView], challenger: Version, kept: str) -> World | Decision:
    """The world with its baselines once each of these endpoints is through its bake."""
    for view in endpoints:
        decision = _bake(world, view, challenger, kept)
        if isinstance(decision, Decision):
            return decision
        world = decision
    return world


def _canary(world: World, challenger: Version) -> Decision | None:
    """Shift the endpoint that is furthest behind, each step after a full bake and a good analysis of all."""
    release, kept = name_of(challenger), name_of(world.champion)
    endpoints = [view for view in world.targets if view.target.shape is Kind.ENDPOINT]
    if not endpoints:
        return None
    if kept is not None:
        ahead = [view for view in endpoints if weight(view, release) > 0]
        # A canary that was undone everywhere begins with its mirror again.
        mirrors = not ahead and world.snapshot.watched.rollout.mirror > 0
        through = _mirror(world, endpoints, challenger, kept) if mirrors else _baked(world, ahead, challenger, kept)
        if isinstance(through, Decision):
            return through
        world = through
    behind = min(endpoints, key=lambda view: weight(view, release))
    following = next((percent for percent in stages(world) if percent > weight(behind, release)), None)
    if following is None:
        return None
    return world.do(
        Verb.SHIFT,
        "canary_step",
        target=behind.target.name,
        version=challenger.number,
        release=release,
        weights=_split(kept, release, following),
    )


def _bake(world: World, view: TargetView, challenger: Version, kept: str) -> World | Decision:
    """Wait for the bake and the analysis of one endpoint; the world with its baseline once both are done."""
    rollout, release = world.snapshot.watched.rollout, name_of(challenger)
    ends = world.record.phases[view.target.name].since + rollout.bake
    copies = mirrored(view, release)
    at = f"v{challenger.number} at {weight(view, release)}%"
    if copies is not None:
        at = f"v{challenger.number} is given copies of {copies.percent}%"
    if world.now < ends:
        again = min(ends, world.now + max(rollout.bake / 10, 0.1))
        detail = f"{at} of {view.target.name}"
        return world.wait("mirroring", detail, again) if copies else world.wait("baking", detail, again)
    # A bad one was rolled back before any stage.
    said = analyse(view, kept, release, rollout.analysis, world.record, baked=True)
    if said.outcome is Outcome.INCONCLUSIVE:
        again = world.now + min(max(rollout.bake / 10, 0.1), 30.0)
        if rollout.analysis.no_traffic != "probe":
            return world.wait(said.reason, at, again)
        if world.record.probed[view.target.name].at < ends:
            return _ask(world, view, challenger)
    if said.baseline is not None:
        errors, p95 = said.baseline
        kept_figures = {"errors": errors} | ({"p95_ms": p95} if p95 is not None else {})
        world = world.remembering(baseline={**world.record.baseline, view.target.name: kept_figures})
    return world


def _switch(world: World, challenger: Version) -> Decision | None:
    release = name_of(challenger)
    for view in world.targets:
        if weight(view, release) < ALL:
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
