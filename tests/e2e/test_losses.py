"""Any process may be lost at any moment of a rollout: the end and the history are right, and few requests are lost."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence

import pytest

from tests.e2e.caller import Asked, calling
from tests.e2e.losing import SETTINGS, Running
from tests.e2e.reckoning import launches, lost_by, summary, unexplained
from tests.e2e.stories import end
from tests.e2e.world import Bed, World
from watcher.values import Call

pytestmark = pytest.mark.slow

RATE, CONNECTIONS = 60.0, 6
MOST_LOST = {
    "watcher": 0,
    "zygote": 0,
    "worker": CONNECTIONS,
    "hang": CONNECTIONS,
    "server": CONNECTIONS,
    "supervisor": 0,
}
"""Requests that one loss may cost: what was in flight, at most one on each connection."""


@pytest.fixture
def world(sqlite: Bed) -> Iterator[World]:
    made = World(sqlite, SETTINGS)
    yield made
    made.close()


def through(world: World, losses: Sequence[str], seed: int) -> tuple[Running, list[Asked]]:
    """One version after the other goes live while these processes are lost, one after the other."""
    with Running(world, random.Random(seed)) as product:
        product.registers()
        product.settles()
        with calling(world.port, world.folder / "calls", rate=RATE, connections=CONNECTIONS) as calls:
            product.loses(losses)
        return product, calls.read()


def reckoned(product: Running, asked: list[Asked]) -> None:
    world, newest = product.world, product.version
    lines = world.lines()
    found = end(world)
    assert (found.champion, found.serving) == (newest, {newest: 100}), world.tail(40)
    assert found.crown == (newest, newest - 1, newest - 1, True)
    assert found.calls == dict.fromkeys(range(1, newest + 1), Call.WINS)
    assert [line.version for line in lines if line.event == "crowned"] == list(range(1, newest + 1))
    assert unexplained(lines, asked) == []
    assert {one.version for one in asked if not one.failed} == set(range(1, newest + 1))
    for loss, failed in lost_by(product.losses, asked):
        assert len(failed) <= MOST_LOST[loss.kind], f"{loss}: {failed}"
    assert sum(one.failed for one in asked) == sum(len(failed) for _, failed in lost_by(product.losses, asked))
    assert max(launches(lines, product.losses).values()) == 1


def test_processes_of_the_gateway_are_lost_in_a_rollout(world: World) -> None:
    product, asked = through(world, ["worker", "supervisor", "server"], seed=4)
    reckoned(product, asked)


@pytest.mark.long
def test_processes_are_lost_again_and_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    losses = {"watcher": 30, "worker": 30, "zygote": 10, "server": 10, "supervisor": 10, "hang": 10}
    product, asked = through(world, [kind for kind, times in losses.items() for _ in range(times)], seed=1)
    with capsys.disabled():
        sys.stdout.write(f"\n{summary(product.losses, asked)}\n")
    reckoned(product, asked)
