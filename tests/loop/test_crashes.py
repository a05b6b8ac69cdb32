"""A worker dies before and after every port call of a whole update; the end is the same and no invariant breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from tests.loop.invariants import Invariants
from tests.loop.tap import tapped
from tests.loop.world import EVALUATED, LASTING, MODEL, Died, World, target
from watcher.naming import release_name
from watcher.values import Target, Version

ONE = (target("api"),)
SEVERAL = (target("api"), target("eu"), target("nightly", "fake-batch"), target("live", "fake-stream"))


def updated(world: World) -> int:
    """v1 reigns, v2 is registered and better."""
    world.crowned(0.8)
    return world.train(0.9)


def rolled_back(world: World) -> int:
    """v1 reigns, v2 looks better and fails on real requests, or on its probe where there is no endpoint."""
    world.crowned(0.8)
    version = world.train(0.9)
    world.deployer.error_share[version] = 0.5
    return version


def ordered_back(world: World) -> int:
    """v2 reigns over v1, and a person moves the mark back to v1."""
    first = world.crowned(0.8)
    world.crowned(0.9)
    world.registry.set_alias(MODEL, "champion", first)
    return first


def impossible_order(world: World) -> int:
    """v2 reigns, and a person orders v3, which does not come up."""
    world.crowned(0.8)
    world.crowned(0.9)
    version = world.train(0.1)
    world.rest()
    world.deployer.broken[version] = "no such artifacts"
    world.registry.set_alias(MODEL, "champion", version)
    return version


def evaluated(world: World) -> int:
    """v1 reigns, v2 logged nothing of note, and is better on the holdout."""
    world.policy = EVALUATED
    world.evaluator.truth.update({1: 0.8, 2: 0.85})
    world.evaluator.seconds = 3.0
    world.crowned(0.8)
    return world.train(0.6)


STORIES: dict[str, Callable[[World], int]] = {
    story.__name__: story for story in (updated, rolled_back, ordered_back, impossible_order, evaluated)
}


LASTING_LONGER = "evaluated"
"""A story of which the bounded run takes one target only, and fewer places: what is new in it touches no target."""
SHORT = [pytest.param(s, marks=[pytest.mark.long] * (s == LASTING_LONGER)) for s in sorted(STORIES)]


@dataclass
class End:
    champion: int | None
    serving: dict[str, dict[int, int]]
    calls: dict[int, str | None]
    crown: object


def end(world: World) -> End:
    marks = world.registry.read(MODEL)
    crown = marks.crown
    return End(
        marks.champion,
        {t.name: world.deployer.serving(t) for t in world.targets},
        {v.number: v.call for v in world.registry.versions(MODEL, 0)},
        (crown.crowned, crown.previous, crown.floor, crown.met) if crown else None,
    )


def before(story: str, targets: tuple[Target, ...]) -> World:
    world = World(targets=targets, atomic=False)
    STORIES[story](world)
    return world


def guarded(world: World, story: str) -> Invariants:
    invariants = Invariants(world, people=story in ("ordered_back", "impossible_order"))
    invariants.crowned_ever = True
    invariants.look()
    return invariants


def places_of(start: World, story: str) -> list[int]:
    """Numbers of the port calls worth dying at: of wake-ups that acted, and of the first wait after each."""
    world = start.fork()
    invariants = guarded(world, story)
    calls = 0
    places: list[int] = []

    def at(_verb: str, _when: str) -> None:
        nonlocal calls
        calls += 1

    loop, after_act = tapped(world, at), True
    while True:
        first = calls
        woken = world.wake(loop)
        if woken.acted or after_act:
            places.extend(range(first, calls))
        after_act = woken.acted
        if not woken.acted:
            if woken.again is None or woken.step.reason in LASTING:
                break
            world.now = max(world.now, woken.again)
    invariants.at_rest()
    return places


def die_at(world: World, place: int) -> bool:
    """Let one worker live up to its port call number `place`; whether it died there."""
    count = iter(range(10**9))

    def at(verb: str, when: str) -> None:
        if next(count) == place:
            raise Died(f"{when} {verb}")

    try:
        world.rest(tapped(world, at))
    except Died:
        return True
    return False


def crash_at_each(start: World, story: str, places: list[int], *, wiped: bool) -> None:
    """Die at each of the places in turn, each time from the same start, and come to the same end."""
    straight = start.fork()
    straight.rest()
    expected = end(straight)
    assert len(places) > 20
    for place in places:
        world = start.fork()
        invariants = guarded(world, story)
        assert die_at(world, place)
        invariants.look()
        if wiped:
            world.ledger.wipe()
        world.rest(world.worker())
        assert end(world) == expected, f"died at port call {place}\n{world.tail(30)}"
        invariants.at_rest()
        if not wiped:
            invariants.intent_before_act()
        if story == "updated":
            invariants.one_launch_each()


@pytest.mark.parametrize("wiped", [False, True], ids=["ledger kept", "ledger wiped"])
@pytest.mark.parametrize("story", sorted(STORIES))
def test_a_crash_at_any_port_call_ends_as_without_it(story: str, *, wiped: bool) -> None:
    start = before(story, ONE)
    crash_at_each(start, story, places_of(start, story)[:: 3 if story == LASTING_LONGER else 1], wiped=wiped)


@pytest.mark.long
@pytest.mark.parametrize("wiped", [False, True], ids=["ledger kept", "ledger wiped"])
def test_a_crash_at_every_port_call_of_an_evaluation_ends_as_without_it(*, wiped: bool) -> None:
    start = before(LASTING_LONGER, ONE)
    crash_at_each(start, LASTING_LONGER, places_of(start, LASTING_LONGER), wiped=wiped)


@pytest.mark.parametrize(
    "every", [pytest.param(5, id="each fifth call"), pytest.param(1, id="every call", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("wiped", [False, True], ids=["ledger kept", "ledger wiped"])
@pytest.mark.parametrize("story", SHORT)
def test_a_crash_with_several_targets_ends_as_without_it(story: str, every: int, *, wiped: bool) -> None:
    start = before(story, SEVERAL)
    crash_at_each(start, story, places_of(start, story)[::every], wiped=wiped)


@pytest.mark.parametrize("story", ["ordered_back", "updated"])
def test_a_crash_while_a_stream_still_has_to_apply_a_move_ends_as_without_it(story: str) -> None:
    world = World(targets=(target("api"), target("live", "fake-stream")), atomic=False)
    world.deployer.apply_seconds = 3.0
    STORIES[story](world)
    crash_at_each(world, story, places_of(world, story)[::4], wiped=False)


@pytest.mark.parametrize(
    ("targets", "every"),
    [
        pytest.param(ONE, 8, id="each eighth call"),
        pytest.param(SEVERAL[:2], 1, id="every call of two endpoints", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("wiped", [False, True], ids=["ledger kept", "ledger wiped"])
@pytest.mark.parametrize("story", ["rolled_back", "updated"])
def test_a_crash_in_a_rollout_that_mirrors_ends_as_without_it(
    targets: tuple[Target, ...], every: int, story: str, *, wiped: bool
) -> None:
    start = World(targets=targets, atomic=False)
    start.rollout = replace(start.rollout, mirror=20, canary=(100,))
    STORIES[story](start)
    crash_at_each(start, story, places_of(start, story)[::every], wiped=wiped)


@pytest.mark.parametrize("story", SHORT)
def test_dying_at_several_places_in_a_row_ends_as_without_it(story: str) -> None:
    start = before(story, SEVERAL[:2])
    straight = start.fork()
    straight.rest()
    expected = end(straight)
    for place in places_of(start, story)[::3]:
        world = start.fork()
        invariants = guarded(world, story)
        die_at(world, place)
        die_at(world, place % 17)
        die_at(world, place % 11)
        world.rest(world.worker())
        assert end(world) == expected, f"died at port call {place}\n{world.tail(30)}"
        invariants.at_rest()


def test_a_release_is_named_by_its_identity_alone() -> None:
    world = World()
    world.train(0.8)
    found = world.registry.version(MODEL, 1)
    assert isinstance(found, Version)
    assert release_name(found.identity) == f"prod-risk-churn-v1-{found.identity.digest}"
