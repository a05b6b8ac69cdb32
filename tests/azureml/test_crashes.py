"""Workers die, and others come between, at port calls of whole updates on Azure ML; the end is the same.

And at no moment is an endpoint that served left without a deployment that is ready, whoever died.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.azureml.cloud import Cloud
from tests.azureml.loop_world import BATCH, ONLINE, OnAzure, Saved, on_azure
from tests.loop.world import MODEL, Died, World

pytestmark = pytest.mark.slow
BOTH = (ONLINE, f"batch/{BATCH}")
WRITES = frozenset({"save", "crown", "challenge", "write_crown", "tag", "launch", "probe", "mirror", "shift", "retire"})
"""Port calls that change what outlives a worker; a probe counts in Azure Monitor."""
MEANWHILE = tuple(itertools.product((1, 4, 40), (0.0, 300.0)))
"""Wake-ups of another worker, and seconds before them: within the lease, and beyond it."""


def updated(world: OnAzure) -> None:
    """v1 reigns, v2 is registered and better."""
    world.train(0.9)


def rolled_back(world: OnAzure) -> None:
    """v2 looks better, and fails on real requests."""
    version = world.train(0.9)
    found = world.registry.version(MODEL, version)
    world.cloud.scoring_errors[f"prod-risk-churn-v{version}-{found.identity.digest}"] = 500  # type: ignore[union-attr]


def never_starts(world: OnAzure) -> None:
    """v2 looks better, and its deployment fails."""
    world.cloud.broken[str(world.train(0.9))] = {"code": "ResourceNotReady", "message": "no module"}


def ordered_back(world: OnAzure) -> None:
    """v2 reigns, and a person moves the mark back to v1."""
    world.train(0.9)
    world.rest()
    world.registry.set_alias(MODEL, "champion", 1)


STORIES: dict[str, Callable[[OnAzure], None]] = {
    story.__name__: story for story in (updated, rolled_back, never_starts, ordered_back)
}


@dataclass
class End:
    champion: int | None
    live: dict[str, dict[int, int]]
    deployed: dict[str, list[int]]
    calls: dict[int, Any]


def end(world: OnAzure) -> End:
    """How it stands once the old releases are gone too."""
    world.now += 2_000.0
    world.rest()
    # What is being deleted is gone by then.
    world.now += 60.0
    calls = {version.number: version.call for version in world.registry.versions(MODEL, 0)}
    return End(world.champion(), world.live(), world.deployed(), calls)


def whole(world: OnAzure) -> None:
    """Every endpoint has all of its traffic on deployments that are ready."""
    for name in BOTH:
        there, traffic = world.cloud.endpoints[name], world.cloud.traffic(name)
        assert sum(traffic.values()) == 100, f"{name}: {traffic}\n{world.tail(20)}"
        for deployment in traffic:
            state = there.deployments[deployment].state(world.cloud.now)
            assert state in ("Succeeded", "Updating"), f"{name}: {deployment} is live and {state}\n{world.tail(20)}"


@pytest.fixture(scope="module")
def reigning(whole_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> tuple[OnAzure, Saved]:
    """v1 reigns on both endpoints."""
    whole_cloud.clear()
    whole_cloud.be_quick()
    whole_cloud.deployment_seconds, whole_cloud.metrics_lag = 60.0, 60.0
    world = on_azure(whole_cloud, tmp_path_factory.mktemp("models"))
    world.train(0.8)
    world.rest()
    assert (world.champion(), world.live()) == (1, {name: {1: 100} for name in BOTH}), world.tail(20)
    return world, world.saved()


@pytest.fixture
def world(reigning: tuple[OnAzure, Saved]) -> OnAzure:
    found, saved = reigning
    found.watch.clear()
    found.back_to(saved)
    found.watch.append(whole)  # type: ignore[arg-type]
    return found


@dataclass(frozen=True)
class Wake:
    """One wake-up of a story."""

    start: Saved
    does: str
    """The step that it took, or why it took none."""
    befores: tuple[int, ...]
    """Which of its port calls' taps come before a call: after one is before the next."""


@dataclass(frozen=True)
class Straight:
    """A story without any accident."""

    start: Saved
    end: End
    calls: int
    """Port calls' taps, two for each."""
    left: tuple[Saved, ...]
    """What a worker that dies leaves: it differs after a call that writes alone."""
    wakes: tuple[Wake, ...]
    """Those that do something else than all before them."""


@pytest.fixture(scope="module")
def told() -> dict[str, Straight]:
    """Stories that were gone through."""
    return {}


@pytest.fixture
def straight(world: OnAzure, told: dict[str, Straight]) -> Callable[[str], Straight]:
    def go(story: str) -> Straight:
        if story not in told:
            STORIES[story](world)
            told[story] = _straight(world)
        return told[story]

    return go


def _straight(world: OnAzure) -> Straight:
    start = world.saved()
    left, wakes, taps, many = [start], dict[str, Wake](), list[str](), 0
    began = start

    def at(verb: str, when: str) -> None:
        nonlocal began
        if not taps:
            began = world.saved()
        taps.append(when)
        if when == "after" and verb in WRITES:
            left.append(world.saved())

    def ended(_world: World) -> None:
        nonlocal many
        assert world.woken is not None
        step = world.woken.step
        does = step.slot if world.woken.acted else str(step.reason)
        wakes.setdefault(does, Wake(began, does, tuple(n for n, when in enumerate(taps) if when == "before")))
        many += len(taps)
        taps.clear()

    world.watch.append(ended)
    world.rest(world.worker(at=at))
    world.watch.remove(ended)
    return Straight(start, end(world), many, tuple(left), tuple(wakes.values()))


def dies(world: OnAzure, place: int) -> None:
    calls = itertools.count()

    def at(_verb: str, _when: str) -> None:
        if next(calls) == place:
            raise Died

    with pytest.raises(Died):
        world.rest(world.worker(at=at))
    whole(world)


def crash_at(world: OnAzure, story: Straight, places: Iterable[int]) -> None:
    """Die at each of the places in turn, each time from the same start, and come to the same end."""
    assert story.calls > 100
    for place in places:
        world.back_to(story.start)
        dies(world, place)
        ends_alike(world, story, f"at port call {place}")


def ends_alike(world: OnAzure, story: Straight, died: str) -> None:
    """Another worker comes, once the lease of the dead one has ended."""
    world.now += 1_000.0
    world.rest()
    assert end(world) == story.end, f"died {died}\n{world.tail(30)}"


@pytest.mark.parametrize(("story", "many"), [("updated", 3), ("rolled_back", 2)])
def test_a_worker_that_dies_leaves_nothing_half_done(
    world: OnAzure, straight: Callable[[str], Straight], story: str, many: int
) -> None:
    found = straight(story)
    crash_at(world, found, [found.calls * (2 * n + 1) // (2 * many) for n in range(many)])


@pytest.mark.long
@pytest.mark.parametrize("story", sorted(STORIES))
def test_a_worker_may_die_whatever_it_wrote_last(
    world: OnAzure, straight: Callable[[str], Straight], story: str
) -> None:
    found = straight(story)
    for place, left in enumerate(found.left):
        world.back_to(left)
        whole(world)
        ends_alike(world, found, f"after the write {place}")


def nothing(world: OnAzure) -> None:
    """Nobody does anything."""


def newer_version(world: OnAzure) -> None:
    world.train(0.97)


def order_to_first(world: OnAzure) -> None:
    world.registry.set_alias(MODEL, "champion", 1)


def abort(world: OnAzure) -> None:
    world.registry.delete_alias(MODEL, "challenger")


PEOPLE: dict[str, Callable[[OnAzure], None]] = {
    deed.__name__: deed for deed in (nothing, newer_version, order_to_first, abort)
}


def interrupted(world: OnAzure, start: Saved, place: int, deed: str, wakes: int, pause: float) -> None:
    """One worker is stopped at its port call `place`; a person does something, another worker works; it goes on."""
    world.back_to(start)
    calls = itertools.count()

    def at(_verb: str, _when: str) -> None:
        if next(calls) != place:
            return
        PEOPLE[deed](world)
        world.now += pause
        other = world.worker()
        for _ in range(wakes):
            woken = other.wake(world.watched)
            world.now = world.clock() + world.step_seconds
            whole(world)
            if not woken.acted and pause:
                world.now = max(world.now, woken.again or world.now)

    world.rest(world.worker(at=at))
    assert next(calls) > place
    world.now += 1_000.0
    # What came during a wake-up that found nothing to do is seen by the next.
    world.rest()
    found = end(world)
    champion = found.champion
    assert champion is not None
    assert found.live == {name: {champion: 100} for name in BOTH}, world.tail(30)
    assert found.deployed == {name: [champion] for name in BOTH}, world.tail(30)
    assert world.registry.read(MODEL).challenger is None


@pytest.mark.parametrize(
    ("deed", "share", "pause"), [("nothing", 0.4, 300.0), ("order_to_first", 0.6, 0.0), ("abort", 0.8, 300.0)]
)
def test_another_worker_and_a_person_between_two_port_calls(
    world: OnAzure, straight: Callable[[str], Straight], deed: str, share: float, pause: float
) -> None:
    found = straight("updated")
    interrupted(world, found.start, int(found.calls * share), deed, 4, pause)


@pytest.mark.long
@pytest.mark.parametrize("deed", sorted(PEOPLE))
@pytest.mark.parametrize("story", sorted(STORIES))
def test_another_worker_and_a_person_before_every_port_call(
    world: OnAzure, straight: Callable[[str], Straight], story: str, deed: str
) -> None:
    """Each call of every wake-up that is like none before it; how long the other works differs from call to call."""
    places = [(wake, place) for wake in straight(story).wakes for place in wake.befores]
    for (wake, place), (wakes, pause) in zip(places, itertools.cycle(MEANWHILE), strict=False):
        try:
            interrupted(world, wake.start, place, deed, wakes, pause)
        except AssertionError as error:
            error.add_note(f"{wake.does}, port call {place}, {wakes} wake-ups, {pause:g} s")
            raise
