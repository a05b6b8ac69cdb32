"""What happens in a whole run, and what it comes to; each story is told once straight and then with crashes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from tests.e2e import models
from tests.e2e.clients import Asked, asking
from tests.e2e.dying import Life, Place
from tests.e2e.world import World
from tests.loop.invariants import Invariants
from tests.loop.world import MODEL, Died
from watcher.values import Call, Gone


def updated(world: World) -> None:
    """v1 reigns, v2 is registered and better."""
    world.crowned(0.8, models.says(1))
    world.train(0.9, models.says(2))


def rolled_back(world: World) -> None:
    """v1 reigns, v2 looks better and fails its probe."""
    world.crowned(0.8, models.says(1))
    world.train(0.9, models.fails())


def ordered_back(world: World) -> None:
    """v2 reigns over v1, and a person moves the alias back to v1."""
    world.crowned(0.8, models.says(1))
    world.crowned(0.9, models.says(2))
    world.order(1)


STORIES: dict[str, Callable[[World], None]] = {story.__name__: story for story in (updated, rolled_back, ordered_back)}


@dataclass(frozen=True)
class End:
    """What a story came to."""

    champion: int | None
    crown: tuple[int | None, int | None, int, bool]
    serving: dict[int, int]
    calls: dict[int, Call | None]


ENDS = {
    "updated": End(2, (2, 1, 1, True), {2: 100}, {1: Call.WINS, 2: Call.WINS}),
    "rolled_back": End(1, (1, None, 2, True), {1: 100}, {1: Call.WINS, 2: Call.ROLLED_BACK}),
    "ordered_back": End(1, (1, 2, 2, True), {1: 100}, {1: Call.WINS, 2: Call.DISPLACED}),
}


def end(world: World) -> End:
    """What is so now, from the registry and the gateway."""
    marks = world.registry.read(MODEL)
    crown = marks.crown
    found = {number: world.registry.version(MODEL, number) for number in range(1, marks.newest + 1)}
    calls = {number: None if isinstance(version, Gone) else version.call for number, version in found.items()}
    return End(marks.champion, (crown.crowned, crown.previous, crown.floor, crown.met), world.serving(), calls)


def straight(world: World, story: str) -> list[Place]:
    """Tell the story without a crash; every place in it where a worker can die."""
    life = Life()
    invariants = watched(world, story)
    with asking(world.port) as asked:
        world.rest(life.tap, life.woke)
    finished(world, story, invariants, asked)
    return life.seen


def with_a_crash(world: World, story: str, place: Place, *, wiped: bool) -> None:
    """Tell the story with a worker that dies at `place`; another, built from nothing, takes over."""
    life = Life(place)
    invariants = watched(world, story)
    with asking(world.port) as asked:
        try:
            world.rest(life.tap, life.woke)
        except Died:
            died = True
        else:
            died = False
        assert died, f"nothing was called at {place}"
        invariants.look()
        if wiped:
            world.wipe()
        world.rest()
    finished(world, story, invariants, asked, wiped=wiped)


def watched(world: World, story: str) -> Invariants:
    invariants = Invariants(cast("Any", world), people=story == "ordered_back")
    invariants.crowned_ever = True
    invariants.look()
    return invariants


def finished(world: World, story: str, invariants: Invariants, asked: Asked, *, wiped: bool = False) -> None:
    assert end(world) == ENDS[story], world.tail(40)
    invariants.at_rest()
    assert asked.wrong == []
    assert asked.answers
    if not wiped:
        invariants.intent_before_act()
    if story == "updated":
        invariants.one_launch_each()
