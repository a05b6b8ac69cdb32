"""A real watcher process is killed in the middle of its work: nobody who asks the endpoint notices."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e import models
from tests.e2e.clients import asking
from tests.e2e.killed import running
from tests.e2e.stories import ENDS, end
from tests.e2e.world import Bed, World

pytestmark = pytest.mark.slow

AT_ONCE = 0.3
"""Seconds for which each canary step bakes."""
LONGEST = 120.0
"""Seconds until all is done, the leases of the dead included."""


@pytest.fixture
def world(sqlite: Bed) -> Iterator[World]:
    made = World(sqlite, {"bake": f"{AT_ONCE:g}s"})
    yield made
    made.close()


def killed_and_killed(world: World, times: int, seed: int, *, hasty: bool) -> None:
    """v2 goes live over v1 while its watcher is killed again and again, each time after some more steps."""
    chance = random.Random(seed)
    world.crowned(0.8, models.says(1))
    with asking(world.port) as asked:
        world.train(0.9, models.says(2))
        for _ in range(times):
            with running(world, hasty=hasty):
                until = len(world.lines()) + chance.randint(1, 6)
                waited(functools.partial(told, world, until))
                time.sleep(chance.uniform(0.0, 0.15))
        with running(world, hasty=hasty):
            waited(lambda: done(world))
    assert end(world) == ENDS["updated"], world.tail(40)
    assert asked.wrong == []
    assert set(asked.answers) == {1, 2}
    assert len([key for _, key in world.deployer.launches if key.startswith("2-")]) == 1


def waited(condition: Callable[[], bool]) -> None:
    """Looks seldom: looking costs the watcher its share of the machine."""
    deadline = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.1)


def told(world: World, lines: int) -> bool:
    """Whether the history has grown so far, or v2 reigns already."""
    found = world.lines()
    world.deployer.count()
    return len(found) >= lines or any(line.event == "crowned" and line.version == 2 for line in found)


def done(world: World) -> bool:
    """Whether v2 reigns, alone and with nothing left to do."""
    return told(world, 10_000) and len(world.deployer.observe(world.targets[0]).releases) == 1


def test_a_watcher_killed_in_the_middle_of_a_rollout_goes_on_where_it_was(world: World) -> None:
    killed_and_killed(world, times=3, seed=8, hasty=True)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_a_watcher_killed_again_and_again_gets_there(world: World, seed: int) -> None:
    killed_and_killed(world, times=3, seed=seed, hasty=False)
