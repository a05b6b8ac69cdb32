"""Rule 7, the fast path: every target goes to the champion, one step at a time, without a canary."""

from __future__ import annotations

from watcher.decide.world import Decision, World, found, name_of, sooner, state, weight, whole
from watcher.snapshot import TargetView
from watcher.values import Call, Observed, State, Unseen, Verb, Version

FIRST_LOOK = 0.02
FIRST_LOOK_AFAR = 5.0
"""The same for services elsewhere, where a release takes minutes and every look is calls of theirs."""
LONGEST_LOOK = 30.0


def converge(world: World) -> Decision | None:
    """One step towards every target whole on what is desired, or the note that an order is met."""
    desired = world.desired
    if desired is None:
        if not world.unmet:
            return None
        lost = f"v{world.crown.previous}, which served before, is gone: promote a version"
        return world.wait("order_unmet", lost, world.now + world.snapshot.evidence_every)
    waiting = [step for view in world.targets if (step := heal(world, view, desired)) is not None]
    if waiting:
        return sooner(waiting)
    if not world.crown.met and not world.unmet:
        return world.do(Verb.WRITE_CROWN, "order_met", version=desired.number, crown=world.next_crown(met=True))
    if desired.call is Call.UNMET:
        # Of a worker that was overtaken: every target serves it.
        return world.known(desired).do(Verb.TAG, "order_met", version=desired.number, call=None)
    return None


def impossible_order(world: World) -> Decision | None:
    """An order that some target says can never be met is tagged so; from then on `previous` is what is desired."""
    if world.crown.met or world.unmet:
        return None
    failed = _impossible(world)
    if failed is None:
        return None
    ordered = world.snapshot.marks.champion
    told = world.line(
        "unmet", version=ordered, reason="order_unmet", data={"detail": failed, "previous": world.crown.previous}
    )
    world = world.telling("unmet", f"{ordered}:{world.crown.n}", told)
    return world.do(Verb.TAG, "order_unmet", version=ordered, call=Call.UNMET, detail=failed)


def _impossible(world: World) -> str | None:
    """Why the order can never be met, in the words of the first target that said so; None while it may be."""
    release = name_of(world.champion) or ""
    for view in world.targets:
        # A release that failed before this order was given is started once more.
        tried_now, seen = view.target.name in world.record.launched, found(view, release)
        if tried_now and seen is not None and seen.state is State.FAILED:
            return f"{view.target.name}: {seen.detail}"
        tried = world.tried(Verb.LAUNCH, view, release)
        if tried is not None and tried.terminal:
            return f"{view.target.name}: {tried.why}"
    return None


def obstacle(world: World, view: TargetView) -> Decision | None:
    """Why a target may not be touched at all, None where it may."""
    again = world.now + world.snapshot.evidence_every
    if isinstance(view.seen, Unseen):
        return world.wait(
            "target_unseen", f"{view.target.name}: {view.seen.why}", world.now + (view.seen.retry_after or 10.0)
        )
    if view.seen.problem:
        return world.wait("target_refuses", f"{view.target.name}: {view.seen.problem}", again)
    if not view.seen.adopted:
        return world.wait("not_adopted", view.target.name, again)
    if view.seen.moving:
        return world.wait("target_moving", view.target.name, world.now + _pause(world, view))
    return None


def heal(world: World, view: TargetView, desired: Version) -> Decision | None:
    """One step that brings one target whole onto `desired`, None where it is."""
    release = name_of(desired)
    if whole(view, release):
        return None
    blocked = obstacle(world, view)
    if blocked is not None:
        return blocked
    ready = bring_up(world, view, desired, "drift_launch")
    if ready is not None:
        return ready
    return world.do(
        Verb.SHIFT,
        "drift_shift",
        target=view.target.name,
        version=desired.number,
        release=release,
        weights={release: 100},
    )


def bring_up(world: World, view: TargetView, version: Version, reason: str) -> Decision | None:
    """Launch a release or wait for it, None once it is ready. A failed one is launched again, with backoff."""
    release, target = name_of(version), view.target.name
    there = state(view, release)
    if there is State.READY:
        return None
    if there is State.STARTING:
        since = world.record.launched.get(target, world.now)
        afar = isinstance(view.seen, Observed) and view.seen.delayed
        first = FIRST_LOOK_AFAR if afar else FIRST_LOOK
        pause = min(max(0.1 * (world.now - since), first), LONGEST_LOOK)
        world = world.remembering(launched={**world.record.launched, target: since})
        return world.wait("launching", f"v{version.number} on {target}", world.now + pause)
    if target in world.record.probed:
        # Before the launch and not after it: who dies in between would leave the old answer for the new release.
        world = world.remembering(probed={k: v for k, v in world.record.probed.items() if k != target})
    return world.do(Verb.LAUNCH, reason, target=target, version=version.number, release=release)


def _pause(world: World, view: TargetView) -> float:
    """Seconds until a slow change is looked at again: longer, the longer it takes."""
    since = world.record.phases[view.target.name].since
    return min(max(0.1 * (world.now - since), 1.0), LONGEST_LOOK)


def to_champion(world: World, view: TargetView) -> Decision | None:
    """Take a target off the challenger: whole onto what is desired, or empty where there never was a champion.

    Where there was one and it is gone, the challenger is all there is, and goes on serving.
    """
    desired = world.desired
    if desired is not None:
        return heal(world, view, desired)
    if world.crown.crowned is not None:
        return None
    blocked = obstacle(world, view)
    if blocked is not None:
        return blocked
    return world.do(Verb.SHIFT, "roll_back_shift", target=view.target.name, release="", weights={})


def off(view: TargetView, release: str | None) -> bool:
    """Whether a target was seen and gives this release nothing."""
    return not isinstance(view.seen, Unseen) and weight(view, release) == 0 and not view.seen.moving
