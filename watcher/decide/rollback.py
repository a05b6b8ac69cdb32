"""Rule 6: the challenger leaves every target. Floor first, then targets, then the verdict, the mark last."""

from __future__ import annotations

from dataclasses import replace

from watcher.decide.drift import off, to_champion
from watcher.decide.settle import forget_rollout
from watcher.decide.world import Decision, World, name_of, releases, sooner
from watcher.values import Call, Verb, Version


def confirm(world: World) -> Decision | None:
    """A challenger without `wins` (a crash in between, or a person's own alias): judged again, tagged or unmarked."""
    challenger = world.challenger
    if challenger is None or challenger.call is Call.WINS or world.crown.floor >= challenger.number:
        return None
    if challenger.call is not None:
        return roll_back(world, challenger.number, "challenger_failed", f"its verdict is {challenger.call}")
    verdict = world.verdicts[challenger.number]
    if verdict.call is Call.WINS:
        return world.do(Verb.TAG, "confirmed", version=challenger.number, call=Call.WINS)
    why = f"its verdict is now {verdict.call}: {verdict.reason}"
    # It counted as decided while it was tagged; without its mark nothing else would have it read again.
    again = world.remembering(settled=min(world.record.settled, challenger.number - 1))
    return again.do(Verb.UNMARK, "unmark", version=challenger.number, detail=why)


def lost(world: World) -> Decision | None:
    """A challenger at or below the floor, deleted, or whose mark a person removed or set on another version."""
    number = world.record.rollout
    if number is None:
        return None
    # First, since registries differ in whether a deleted version takes its aliases along.
    if world.gone(number):
        return roll_back(world, number, world.record.rolled_back or "challenger_gone")
    if world.snapshot.marks.challenger != number:
        return roll_back(world, number, world.record.rolled_back or "challenger_removed")
    if number <= world.crown.floor:
        return roll_back(world, number, world.record.rolled_back or "order_acknowledged")
    return None


def roll_back(world: World, number: int, reason: str, detail: str = "") -> Decision:
    """The next step of the way back. The first one raises the floor, so that no crash can send it forward again."""
    challenger = world.snapshot.version(number)
    begun = world.record.rolled_back != ""
    if not begun:
        told = world.line("rolled_back", version=number, reason=reason, data={"reason": reason, "detail": detail})
        world = world.saying(told).remembering(rolled_back=reason)
    if world.crown.floor < number:
        return world.do(
            Verb.WRITE_CROWN, "floor_raised", version=number, detail=detail, crown=world.next_crown(floor=number)
        )
    release = name_of(challenger) or _release_of(world)
    steps = [
        step for view in world.targets if not off(view, release) and (step := to_champion(world, view)) is not None
    ]
    if steps:
        decision = sooner(steps)
        if decision.step.verb is Verb.SHIFT:
            decision = replace(decision, step=replace(decision.step, reason="roll_back_shift"))
        return decision
    return _leave(world, number, challenger)


def _leave(world: World, number: int, challenger: Version | None) -> Decision:
    if challenger is not None and challenger.call is not Call.ROLLED_BACK:
        return world.do(Verb.TAG, world.record.rolled_back, version=number, call=Call.ROLLED_BACK)
    if world.snapshot.marks.challenger == number:
        return world.do(Verb.UNMARK, "roll_back_done", version=number)
    return forget_rollout(world).wait("roll_back_done", until=world.now)


def _release_of(world: World) -> str | None:
    """Name of a deleted challenger's release, by the identity that was remembered when its rollout began."""
    # A foreign release has no key, and neither has a rollout of which only the mark was ever seen.
    names = [r.name for view in world.targets for r in releases(view) if r.key == world.record.rollout_key != ""]
    return names[0] if names else None
