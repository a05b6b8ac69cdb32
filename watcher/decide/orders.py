"""Rules 2, 3 and 5, and what else a person can order: the champion alias, `rejudge`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from watcher.decide.world import ALL, Decision, World, name_of, releases, weight, weights, whole
from watcher.values import NOTHING, Call, Observed, SeenRelease, Step, Verb


def model_gone(world: World) -> Decision | None:
    """Keep serving: a model that is not there, or whose crown cannot be read, is no reason to move anything."""
    marks, again = world.snapshot.marks, world.now + world.snapshot.evidence_every
    if not marks.exists:
        empty = all(isinstance(view.seen, Observed) and not view.seen.weights for view in world.targets)
        # With nothing at stake nobody looks again: a model of that name would be found by the change poll.
        return world.wait("model_gone", until=None if empty and world.record.rollout is None else again)
    if marks.problem is not None:
        return world.wait("crown_unreadable", marks.problem, again)
    return None


def champion_missing(world: World) -> Decision | None:
    """Rule 2: without a champion nothing is judged and nothing is moved, the first version ever apart."""
    marks, again = world.snapshot.marks, world.now + world.snapshot.evidence_every
    if marks.champion is not None:
        if world.gone(marks.champion):
            return world.wait("champion_gone", f"champion is v{marks.champion}, which does not exist", again)
        return None
    if world.crown.crowned is not None:
        return world.wait("champion_missing", f"v{world.crown.crowned} was crowned last", again)
    ours = {name_of(world.challenger), name_of(world.snapshot.version(world.record.rollout))}
    for view in world.targets:
        deleted = {r.name for r in releases(view) if r.key == world.record.rollout_key != ""}
        if set(weights(view)) - ours - deleted:
            return world.wait("champion_missing", f"{view.target.name} serves a release that nothing marks", again)
    return None


def acknowledge(world: World) -> Decision | None:
    """Rule 3: a champion that we did not crown is an order, or our own crowning whose record was lost."""
    champion, crown = world.champion, world.crown
    if champion is None or champion.number == crown.crowned:
        return None
    owed = _owed(world)
    if owed is not None and not owed.waits:
        return owed
    if champion.number == world.snapshot.marks.challenger and champion.call is Call.WINS:
        mended = world.next_crown(
            crowned=champion.number,
            previous=crown.crowned,
            floor=max(crown.floor, crown.crowned or 0),
            met=all(whole(view, name_of(champion)) for view in world.targets),
            displaced=None,
        )
        told = world.line(
            "crowned", version=champion.number, data={"version": champion.number, "previous": crown.crowned}
        )
        world = world.telling("crowned", f"{champion.number}:{mended.n}", told).remembering(crowned_at=world.now)
        return world.do(Verb.WRITE_CROWN, "crown", version=champion.number, crown=mended)
    if champion.call is Call.UNMET:
        return world.known(champion).do(Verb.TAG, "order_retry", version=champion.number, call=None)
    ordered = world.next_crown(
        crowned=champion.number,
        previous=_served(world),
        floor=max(world.snapshot.newest, crown.floor),
        met=False,
        displaced=crown.crowned,
    )
    told = world.line("order", version=champion.number, data=asdict(ordered))
    world = world.telling("order", f"{champion.number}:{ordered.n}", told)
    # What failed before says nothing about this order, but for its own acknowledgement.
    own = Step(Verb.ACKNOWLEDGE, version=champion.number).slot
    attempts = {slot: tried for slot, tried in world.record.attempts.items() if slot == own}
    world = world.remembering(attempts=attempts, launched=NOTHING, crowned_at=world.now)
    return world.do(Verb.ACKNOWLEDGE, "order_acknowledged", version=champion.number, crown=ordered)


def _owed(world: World) -> Decision | None:
    """A version that reigned and was never called anything is tagged before the crown that names it is overwritten.

    Later nothing would lead to it any more: what was acknowledged counts as settled.
    """
    crown, marks = world.crown, world.snapshot.marks
    for number in (crown.displaced, crown.previous):
        found = world.snapshot.version(number)
        if found is not None and found.call is None and found.number not in (marks.champion, marks.challenger):
            return world.do(Verb.TAG, "tag_verdict", version=number, call=Call.DISPLACED)
    return None


def _served(world: World) -> int | None:
    """The one version that every target serves; else what was last known to be whole everywhere."""
    crown = world.crown
    served: set[int | None] = set()
    for view in world.targets:
        serving = [release for release in releases(view) if weight(view, release.name) == ALL]
        # What was never crowned is no place to go back to, even where it serves everywhere.
        known = [r.version for r in serving if r.version != world.record.rollout and _is_known(world, r)]
        served.add(known[0] if known else None)
    if len(served) == 1 and None not in served:
        return served.pop()
    last = crown.crowned if crown.met else crown.previous
    return None if world.gone(last) else last


def _is_known(world: World, release: SeenRelease) -> bool:
    """Whether a release of ours is of a version that the registry has now: numbers are used again."""
    version = world.snapshot.version(release.version)
    return version is not None and version.identity.key == release.key


def champion_is_challenger(world: World) -> Decision | None:
    """Rule 5: a rollout that reached its crown has no challenger any more."""
    marks = world.snapshot.marks
    if marks.challenger is None or marks.challenger != marks.champion:
        return None
    data = {"version": marks.champion, "previous": world.crown.previous}
    told = world.line("crowned", version=marks.champion, data=data)
    world = world.telling("crowned", f"{marks.champion}:{world.crown.n}", told)
    return world.do(Verb.UNMARK, "unmark", version=marks.challenger)


def rejudge(world: World) -> Decision | None:
    """A person wants a version judged again: the floor goes beneath it, then its verdict goes."""
    for version in _by_number(world.snapshot.versions):
        found = world.snapshot.version(version)
        if found is None or not found.rejudge or version == world.snapshot.marks.challenger:
            continue
        displaced = version == world.crown.displaced
        if version != world.snapshot.marks.champion and (displaced or world.crown.floor >= version):
            lowered = world.next_crown(
                floor=min(world.crown.floor, version - 1), displaced=None if displaced else world.crown.displaced
            )
            return world.do(Verb.WRITE_CROWN, "rejudged", version=version, crown=lowered)
        again = world.remembering(settled=min(world.record.settled, version - 1))
        return again.known(found).do(Verb.TAG, "rejudged", version=version, call=None)
    return None


def _by_number(versions: Mapping[int, object]) -> list[int]:
    return sorted(versions)
