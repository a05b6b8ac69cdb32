"""The loop with its memory in a table of Azure Storage: deaths and another worker in between change nothing."""

from __future__ import annotations

import random

import pytest

from tests.azurite import Azurite
from tests.ledger.tables import new_name, table_ledger
from tests.loop.test_crashes import ONE, STORIES, before, die_at, end, guarded
from tests.loop.test_races import interrupted, nothing
from tests.loop.world import World


class Own(World):
    """A world on a table of its own. It is not copied: each test begins its story anew."""

    def fork(self) -> World:
        return self


def told(azurite: Azurite, story: str) -> World:
    """A world in which the story stands before its last act."""
    world = Own(targets=ONE, atomic=False)
    world.ledger = table_ledger(azurite, new_name())  # type: ignore[assignment]
    STORIES[story](world)
    # Its last act came after the last wake-up, which could not know of it.
    world.woken = None
    return world


def expected(story: str) -> object:
    """How it ends with a ledger in memory and nobody dying."""
    world = before(story, ONE)
    world.rest()
    return end(world)


every_story = [
    pytest.param(story, marks=[] if story == "rolled_back" else pytest.mark.long) for story in sorted(STORIES)
]


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 5))])
@pytest.mark.parametrize("story", every_story)
def test_a_worker_that_dies_again_and_again_ends_as_without_it(azurite: Azurite, story: str, seed: int) -> None:
    chance = random.Random(seed)
    world = told(azurite, story)
    invariants = guarded(world, story)
    deaths = sum(die_at(world, chance.randrange(30)) for _ in range(8))
    assert deaths > 4
    world.rest(world.worker())
    assert end(world) == expected(story), world.tail(30)
    invariants.at_rest()
    invariants.intent_before_act()


@pytest.mark.long
@pytest.mark.parametrize("story", sorted(STORIES))
def test_a_worker_that_dies_and_a_ledger_that_is_wiped_end_as_without_it(azurite: Azurite, story: str) -> None:
    for place in range(3, 60, 14):
        world = told(azurite, story)
        invariants = guarded(world, story)
        die_at(world, place)
        world.ledger.wipe()
        world.rest(world.worker())
        assert end(world) == expected(story), f"died at port call {place}\n{world.tail(30)}"
        invariants.at_rest()


@pytest.mark.long
@pytest.mark.parametrize("pause", [0.0, 60.0], ids=["within the lease", "beyond the lease"])
@pytest.mark.parametrize("story", sorted(STORIES))
def test_another_worker_at_any_port_call_breaks_nothing(azurite: Azurite, story: str, pause: float) -> None:
    for place in range(2, 60, 18):
        interrupted(told(azurite, story), story, place, nothing, wakes=2, pause=pause)
