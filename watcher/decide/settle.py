"""What is believed before anything is decided: stale reads, the challenger mark, since when things are as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping

from watcher.decide.world import Decision, World
from watcher.ports import Line
from watcher.record import Moved, Phase
from watcher.values import NOTHING, Marks, Mode, Observed, State, Step, Verb, Version

NEWEST_AT_FIRST_SIGHT = 20
"""Versions that are read of a model which was never watched before."""


def stamp(world: World) -> World:
    """Remember when versions, approvals and the state of targets were first seen, and what is live."""
    world = _looks(_targets(_versions(world)))
    settled = _settled(world, world.record.settled)
    world = world.remembering(settled=settled, turn=world.snapshot.turn, n=max(world.record.n, world.crown.n))
    if world.unmet:
        # Whatever a person does next is a new try: a launch of before says nothing about it.
        world = world.remembering(launched=NOTHING)
    if world.snapshot.marks.champion is not None and not world.record.crowned_at:
        world = world.remembering(crowned_at=world.now)
    return world


def _versions(world: World) -> World:
    approval = world.snapshot.watched.policy.approval
    first_seen, approved = dict(world.record.first_seen), dict(world.record.approved)
    known = sorted((v for v in world.snapshot.versions.values() if isinstance(v, Version)), key=lambda v: v.number)
    fresh = []
    for version in known:
        key = version.identity.key
        if version.call is not None:
            first_seen.pop(key, None)
            approved = {mark: at for mark, at in approved.items() if not mark.startswith(f"{key}=")}
            continue
        if key not in first_seen:
            first_seen[key] = world.now
            fresh.append(world.line("seen", version=version.number))
        mark = version.tags.get(approval.tag) if approval else None
        approved = {k: at for k, at in approved.items() if k == f"{key}={mark}" or not k.startswith(f"{key}=")}
        if mark:
            approved.setdefault(f"{key}={mark}", world.now)
    gone = {number for number in world.snapshot.versions if world.gone(number)}
    first_seen, approved = (
        {key: at for key, at in times.items() if int(key.partition("-")[0]) not in gone}
        for times in (first_seen, approved)
    )
    return world.saying(*fresh).remembering(first_seen=first_seen, approved=approved)


def _targets(world: World) -> World:
    phases, live, lines = dict(world.record.phases), dict(world.record.live), []
    attempts, moved = dict(world.record.attempts), dict(world.record.moved)
    for view in world.targets:
        if not isinstance(view.seen, Observed):
            continue
        name, key = view.target.name, phase_key(view.seen)
        for release in view.seen.releases:
            if release.state is State.READY:
                attempts.pop(Step(Verb.LAUNCH, name, release=release.name).slot, None)
        if name not in phases or phases[name].key != key:
            phases[name] = Phase(key, world.now)
        serving = live_of(view.seen)
        if live.get(name, NOTHING) != serving:
            live[name] = serving
            lines.append(_live(world, name, serving, moved.pop(name, None)))
    return world.saying(*lines).remembering(phases=phases, live=live, attempts=attempts, moved=moved)


def _live(world: World, target: str, serving: Mapping[str, int], asked: Moved | None) -> Line:
    """The line of what a target serves: of our own shift where these are its weights, else of what was found."""
    if asked is None or asked.weights != serving:
        return world.line("live", target=target, reason="observed", data={"weights": serving})
    return world.line("live", target=target, version=asked.version, reason=asked.reason, data=asked.told)


def _looks(world: World) -> World:
    """How often each holdout was looked at: the evaluator's own count may be lost, this one only with it."""
    looks = dict(world.record.looks)
    for evaluated in world.snapshot.evaluations.values():
        if (found := evaluated.comparison) is not None:
            looks[found.data] = max(found.look, looks.get(found.data, 0))
    return world.remembering(looks=looks)


def phase_key(seen: Observed) -> str:
    """What a bake depends on: when weights or token change, it starts again."""
    return json.dumps([sorted(seen.weights.items()), seen.token])


def live_of(seen: Observed) -> dict[str, int]:
    """Version number (or the name of a foreign release) -> percent."""
    serving: dict[str, int] = {}
    ours = {release.name: str(release.version) for release in seen.releases if release.ours}
    for name, percent in seen.weights.items():
        label = ours.get(name, name)
        serving[label] = serving.get(label, 0) + percent
    return serving


def believe(world: World) -> World | Decision:
    """Rules 1 and 4: disagreement with the ledger waits for one staleness interval, then the registry is right."""
    marks, record = world.snapshot.marks, world.record
    older = world.crown.n < record.n
    other = marks.challenger != record.rollout
    if not (older or other):
        return world if record.stale_since is None else world.remembering(stale_since=None)
    since = record.stale_since if record.stale_since is not None else world.now
    world = world.remembering(stale_since=since)
    if world.now < since + world.snapshot.staleness:
        return world.wait("stale_read", until=since + world.snapshot.staleness)
    if older:
        # A re-created model has lost its crown: what was known of its versions is not about these.
        world = world.remembering(n=world.crown.n, settled=-1, first_seen=NOTHING, approved=NOTHING, attempts=NOTHING)
    if other and (record.rollout is None or _ended(world)):
        # Any other rollout goes back first, whatever the mark is on now.
        world = forget_rollout(world)
        if marks.challenger is not None:
            key = world.challenger.identity.key if world.challenger else ""
            world = world.remembering(rollout=marks.challenger, rollout_key=key, rollout_since=world.now)
    return world.remembering(stale_since=None)


def forget_rollout(world: World) -> World:
    """The world without a rollout under way."""
    return world.remembering(
        rollout=None,
        rollout_key="",
        rollout_since=0.0,
        rolled_back="",
        baseline=NOTHING,
        probed=NOTHING,
        held_since=None,
        attempts=NOTHING,
    )


def _ended(world: World) -> bool:
    """Whether the mark has left the rollout because that ended, and only the record of it was lost."""
    rollout = world.record.rollout
    if rollout == world.snapshot.marks.champion:
        return True
    # One that was going back had that written before: the way back goes on to its end, and is not told again.
    version = world.snapshot.version(rollout)
    return version is not None and version.call is None


def first_look(marks: Marks, newest: int) -> int:
    """At first sight only the newest versions are read, and all above the floor, which may still be nominated."""
    floor = marks.crown.floor if marks.crown else newest
    return max(min(newest - NEWEST_AT_FIRST_SIGHT, floor), 0)


def _settled(world: World, before: int) -> int:
    """Every version up to here is decided: holes in the numbers were confirmed by direct gets.

    A champion counts once it is acknowledged, for then it gets a verdict when it is replaced; advice acknowledges none.
    """
    marks, snapshot = world.snapshot.marks, world.snapshot
    reigns = marks.champion if snapshot.watched.mode is Mode.ADVISE else world.crown.crowned
    settled = before if 0 <= before <= snapshot.newest else first_look(marks, snapshot.newest)
    if marks.crown is None:
        settled = min(settled, first_look(marks, snapshot.newest))
    while settled < snapshot.newest:
        found = snapshot.versions.get(settled + 1)
        if found is None:
            break
        if isinstance(found, Version) and found.call is None and found.number != reigns:
            break
        settled += 1
    return settled
