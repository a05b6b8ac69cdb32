"""Rule 7, the fast path: every target goes to the champion, one step at a time, without a canary."""

from __future__ import annotations

from watcher.decide.world import Decision, World, name_of, sooner, state, weight, whole
from watcher.snapshot import TargetView
from watcher.values import Call, Observed, State, Unseen, Verb, Version

FIRST_LOOK = 0.05
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
    return None


def impossible_order(world: World) -> Decision | None:
    """An order that some target says can never be met is tagged so; from then on `previous` is what is desired."""
    champion = world.champion
    if champion is None or world.crown.met or world.unmet:
        return None
    failed = _impossible(world, champion)
    if failed is None:
        return None
    told = world.line(
        "unmet",
        version=champion.number,
        reason="order_unmet",
        data={"detail": failed, "previous": world.crown.previous},
    )
    tag = world.saying(told)
    return tag.do(Verb.TAG, "order_unmet", version=champion.number, call=Call.UNMET, detail=failed)


def _impossible(world: World, desired: Version) -> str | None:
    """Why the order can never be met, in the words of the first target that said so; None while it may be."""
    release = name_of(desired)
    for view in world.targets:
        # A release that failed before this order was given is started once more.
        tried_now = view.target.name in world.record.launched
        if tried_now and state(view, release) is State.FAILED and isinstance(view.seen, Observed):
            found = view.seen.release(release or "")
            return f"{view.target.name}: {found.detail if found else 'failed'}"
        tried = world.tried(Verb.LAUNCH, view, release or "")
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
    return None


def heal(world: World, view: TargetView, desired: Version) -> Decision | None:
    """One step that brings one target whole onto `desired`, None where it is."""
    release = name_of(desired) or ""
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
    release, target = name_of(version) or "", view.target.name
    found = state(view, release)
    if found is State.READY:
        return None
    if found is State.STARTING:
        since = world.record.launched.get(target, world.now)
        pause = min(max(0.1 * (world.now - since), FIRST_LOOK), LONGEST_LOOK)
        world = world.remembering(launched={**world.record.launched, target: since})
        return world.wait("launching", f"v{version.number} on {target}", world.now + pause)
    return world.do(Verb.LAUNCH, reason, target=target, version=version.number, release=release)


def to_champion(world: World, view: TargetView) -> Decision | None:
    """Take a target off the challenger: whole onto what is desired, or empty where there never was a champion.

    Where there was one and it is gone, the challenger is all there is, and goes on serving.
    """
    desired = world.desired
    if desired is not None:
        return heal(world, view, desired)
    if world.crown.crowned is not None:
        return None
    if isinstance(view.seen, Observed) and not view.seen.weights:
        return None
    blocked = obstacle(world, view)
    if blocked is not None:
        return blocked
    return world.do(Verb.SHIFT, "roll_back_shift", target=view.target.name, release="", weights={})


def off(view: TargetView, release: str | None) -> bool:
    """Whether a target was seen and gives this release nothing."""
    return not isinstance(view.seen, Unseen) and weight(view, release) == 0
