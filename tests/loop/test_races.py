"""Two workers on one model, and people in between: whatever comes at any port call, no invariant breaks."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.loop.tap import tapped
from tests.loop.test_crashes import LASTING_LONGER, ONE, STORIES, before, guarded, places_of
from tests.loop.world import MODEL, World, target
from watcher.values import Target

TWO = (target("api"), target("nightly", "fake-batch"))

MEANWHILE = tuple(itertools.product((1, 2, 5, 40), (0.0, 60.0)))
"""Wake-ups of the other worker, and how long the first is stopped: within its lease, and beyond it."""


def nothing(world: World) -> None:
    """Nobody does anything."""


def newer_version(world: World) -> None:
    world.train(0.97)


def order_to_first(world: World) -> None:
    world.registry.set_alias(MODEL, "champion", 1)


def order_to_newest(world: World) -> None:
    newest = world.registry.read(MODEL).newest
    world.deployer.broken.pop(newest, None)
    world.registry.set_alias(MODEL, "champion", newest)


def abort(world: World) -> None:
    world.registry.delete_alias(MODEL, "challenger")


def deleted_challenger(world: World) -> None:
    challenger = world.registry.read(MODEL).challenger
    if challenger is not None and challenger != world.champion():
        world.registry.delete_version(MODEL, challenger)


PEOPLE: dict[str, Callable[[World], None]] = {
    deed.__name__: deed for deed in (nothing, newer_version, order_to_first, order_to_newest, abort, deleted_challenger)
}


def interrupted(start: World, story: str, place: int, deed: Callable[[World], None], wakes: int, pause: float) -> None:
    """One worker is stopped at its port call `place`; a person does something, another worker works; it goes on."""
    world = start.fork()
    invariants = guarded(world, story)
    invariants.people = deed is not nothing or invariants.people
    invariants.conduct.raced = True
    count = iter(range(10**9))

    def at(_verb: str, _when: str) -> None:
        if next(count) != place:
            return
        deed(world)
        world.now += pause
        other = world.worker()
        for _ in range(wakes):
            woken = other.wake(world.watched)
            world.now += world.step_seconds
            invariants.look()
            if not woken.acted and pause:
                world.now = max(world.now, woken.again or world.now)

    world.rest(tapped(world, at))
    world.now += 30.0
    world.rest(world.worker())
    invariants.at_rest()
    invariants.intent_before_act()


@pytest.mark.parametrize("pause", [0.0, 60.0], ids=["within the lease", "beyond the lease"])
@pytest.mark.parametrize("wakes", [1, 4])
@pytest.mark.parametrize("deed", sorted(PEOPLE))
@pytest.mark.parametrize("story", sorted(STORIES))
def test_another_worker_and_a_person_at_any_port_call(story: str, deed: str, wakes: int, pause: float) -> None:
    start = before(story, ONE)
    for place in places_of(start, story)[:: (5 if deed == "nothing" else 9) * (8 if story == LASTING_LONGER else 1)]:
        interrupted(start, story, place, PEOPLE[deed], wakes, pause)


@pytest.mark.long
@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("targets", [ONE, TWO], ids=["one target", "two targets"])
@pytest.mark.parametrize("deed", sorted(PEOPLE))
@pytest.mark.parametrize("story", sorted(STORIES))
def test_another_worker_and_a_person_at_every_port_call(
    story: str, deed: str, targets: tuple[Target, ...], first: int
) -> None:
    """How long the other works differs from call to call and deed to deed; each has both leases in the two runs."""
    start = before(story, targets)
    turns = itertools.islice(itertools.cycle(MEANWHILE), first + sorted(PEOPLE).index(deed), None)
    for place, (wakes, pause) in zip(places_of(start, story), turns, strict=False):
        try:
            interrupted(start, story, place, PEOPLE[deed], wakes, pause)
        except AssertionError as error:
            error.add_note(f"port call {place}, {wakes} wake-ups, {pause:g} s")
            raise
