"""Rules 10 to 12: tag what is final, retire what nobody needs, nominate the best winner."""

from __future__ import annotations

from watcher.decide.drift import obstacle
from watcher.decide.world import Decision, World, name_of, releases, sooner
from watcher.values import FINAL, Call, Mode, Verb


def tag(world: World) -> Decision | None:
    """Rule 10: a final verdict is written where people see it."""
    displaced = world.snapshot.version(world.crown.displaced)
    fell = (Call.DISPLACED, Call.ROLLED_BACK)
    if displaced is not None and displaced.call not in fell and displaced != world.champion:
        return world.do(Verb.TAG, "tag_verdict", version=displaced.number, call=Call.DISPLACED)
    for number in sorted(world.verdicts):
        verdict = world.verdicts[number]
        if verdict.call in FINAL:
            return world.do(Verb.TAG, "tag_verdict", version=number, call=verdict.call, detail=verdict.reason)
    return None


def left_over(world: World) -> Decision | None:
    """A rollout that was under way when `mode: advise` was written: it stands still, and that is told."""
    challenger = world.snapshot.marks.challenger
    if challenger is None:
        return None
    detail = f"the rollout of v{challenger} stands still: write mode: deploy to go on or to abort it"
    return world.wait("advise_only", detail, world.now + world.snapshot.evidence_every)


def retire(world: World) -> Decision | None:
    """Rule 11: releases of ours that neither serve nor are kept warm."""
    keep = {name_of(world.champion), name_of(world.challenger), name_of(world.desired)}
    previous = name_of(world.snapshot.version(world.crown.previous))
    warm_until = world.record.crowned_at + world.snapshot.watched.rollout.keep_warm
    if world.now < warm_until:
        keep.add(previous)
    steps = [
        world.do(Verb.RETIRE, "stray", target=view.target.name, version=release.version, release=release.name)
        for view in world.targets
        if obstacle(world, view) is None
        for release in releases(view)
        if release.ours and release.name not in keep
    ]
    return sooner(steps) if steps else None


def keep_warm(world: World) -> float | None:
    """When the previous champion's releases may go, None where there are none to wait for."""
    previous = name_of(world.snapshot.version(world.crown.previous))
    until = world.record.crowned_at + world.snapshot.watched.rollout.keep_warm
    held = any(release.name == previous for view in world.targets for release in releases(view))
    return until if held and until > world.now else None


def nominate(world: World) -> Decision | None:
    """Rule 12: the best of the winners, once orders are met and every target may be moved; a held model has none."""
    winners = [v for v in world.verdicts.values() if v.call is Call.WINS]
    if not winners:
        return None
    best = max(winners, key=lambda v: (v.score if v.score is not None else float("-inf"), v.identity.version))
    if world.snapshot.watched.mode is Mode.ADVISE:
        return world.remembering(leader=best.identity.version).wait("advise_only", f"v{best.identity.version} wins")
    if not world.crown.met:
        return world.wait("winner_waits", "an order is not met", world.now + world.snapshot.evidence_every)
    for view in world.targets:
        blocked = obstacle(world, view)
        if blocked is not None:
            return blocked
    return world.do(Verb.NOMINATE, "nominated", version=best.identity.version)
