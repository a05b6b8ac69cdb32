"""Targets on which weights take effect some time after they were accepted, as those of clouds do."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.loop.invariants import Invariants
from tests.loop.tap import tapped
from tests.loop.world import MODEL, Died, World, target
from watcher.reconcile import Loop
from watcher.values import Call

TAKES = 40.0
"""Seconds, longer than a bake."""
TARGETS = (target("api"), target("eu"), target("live", "fake-stream"))


def slow(**more: Any) -> World:
    world = World(targets=TARGETS, atomic=False, **more)
    world.deployer.shift_seconds = TAKES
    return world


def everywhere(version: int) -> dict[str, dict[int, int]]:
    return {t.name: {version: 100} for t in TARGETS}


def live(world: World) -> dict[str, dict[int, int]]:
    return {t.name: world.deployer.serving(t) for t in world.targets}


def met(world: World) -> bool:
    crown = world.registry.read(MODEL).crown
    return crown is not None and crown.met


def quiet(world: World) -> bool:
    return all(place.coming is None for place in world.deployer.places.values())


def until(world: World, loop: Loop, *, coming: bool, hold: Callable[[], bool] = lambda: True) -> None:
    """Wake until weights are on their way to some target, or to none; what must hold is asked after each."""
    for _ in range(200):
        if quiet(world) is not coming:
            return
        woken = world.wake(loop)
        assert hold(), world.tail()
        if not woken.acted:
            assert woken.again is not None, world.tail()
            world.now = max(world.now, woken.again)
    raise AssertionError(world.tail())


def test_a_target_that_is_moving_is_named_and_looked_at_with_pauses_that_grow() -> None:
    world = slow()
    world.train(0.8)
    loop, pauses = world.worker(), []
    for _ in range(30):
        woken = world.wake(loop)
        assert woken.again is not None
        if woken.step.reason == "target_moving" and woken.step.detail == "api":
            pauses.append(woken.again - world.woken_at)
        world.now = max(world.now, woken.again)
    assert len(pauses) > 12
    assert pauses[0] == pytest.approx(1.0)
    assert pauses == sorted(pauses)
    assert pauses[-1] > 1.0


def test_what_serves_is_told_when_it_is_seen_and_as_our_own_doing() -> None:
    world = slow()
    world.crowned(0.8)
    two = world.crowned(0.9)
    shifts = [line for line in world.lines("done") if line.target == "api" and (line.data or {})["verb"] == "shift"]
    told = [line for line in world.lines("live") if line.target == "api" and line.reason != "observed"]
    assert [line.reason for line in told] == [line.reason for line in shifts]
    assert all(at.at >= asked.at + TAKES for asked, at in zip(shifts, told, strict=True))
    assert (told[-1].version, (told[-1].data or {})["weights"]) == (two, {str(two): 100})
    assert not world.lines("failed"), "a target that is being changed is left alone"


def test_a_launch_that_takes_minutes_is_looked_at_some_dozens_of_times() -> None:
    world = slow()
    world.crowned(0.8)
    world.deployer.launch_seconds = 600.0
    world.train(0.9)
    looks: list[float] = []
    world.watch.append(lambda w: looks.append(w.now) if w.woken and w.woken.step.reason == "launching" else None)
    world.rest(until=world.now + 590.0)
    assert 20 < len(looks) < 60
    assert max(later - sooner for sooner, later in itertools.pairwise(looks)) < 45.0


def test_slow_targets_are_launched_to_side_by_side() -> None:
    world = slow()
    world.crowned(0.8)
    world.deployer.launch_seconds = 600.0
    world.train(0.9)
    began = world.now
    world.rest(until=began + 500.0)
    launched = [line for line in world.lines("done") if line.at >= began and (line.data or {})["verb"] == "launch"]
    assert [line.target for line in launched] == [t.name for t in TARGETS]
    assert launched[-1].at - launched[0].at < 5.0


def test_a_bad_canary_goes_back_even_while_its_next_step_is_coming() -> None:
    world = slow()
    one = world.crowned(0.8)
    two = world.train(0.9)
    loop = world.worker()
    until(world, loop, coming=True)
    world.registry.delete_alias(MODEL, "challenger")
    world.rest(loop)
    assert live(world) == everywhere(one), world.tail()
    assert world.call(two) is Call.ROLLED_BACK


def test_an_order_is_not_met_while_something_else_is_coming() -> None:
    world = slow()
    one = world.crowned(0.8)
    two = world.crowned(0.9)
    loop = world.worker()
    world.registry.set_alias(MODEL, "champion", one)
    until(world, loop, coming=True)
    world.registry.set_alias(MODEL, "champion", two)
    assert world.serving() == {two: 100}, "what is seen is what was ordered last"
    until(world, loop, coming=False, hold=lambda: not met(world) or quiet(world))
    world.rest(loop)
    assert met(world)
    assert live(world) == everywhere(two), world.tail()


def _walk(place: int) -> bool:
    """v2 replaces v1 although a worker dies at this port call; whether there was such a call."""
    world = slow()
    world.crowned(0.8)
    two = world.train(0.9)
    invariants = Invariants(world)
    invariants.crowned_ever = True
    calls = iter(range(10**9))

    def at(_verb: str, _when: str) -> None:
        if next(calls) == place:
            raise Died

    try:
        world.rest(tapped(world, at))
    except Died:
        died = True
    else:
        died = False
    world.now += 30.0
    world.rest()
    invariants.at_rest()
    assert (world.champion(), live(world)) == (two, everywhere(two)), f"died at {place}\n{world.tail()}"
    return died


@pytest.mark.parametrize("place", range(5, 800, 61))
def test_a_worker_that_dies_leaves_nothing_half_done(place: int) -> None:
    _walk(place)


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
def test_a_worker_may_die_at_every_port_call(part: int) -> None:
    place = part
    while _walk(place):
        place += 4
    assert place > 200
