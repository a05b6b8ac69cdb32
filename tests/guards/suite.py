"""A short, repeatable run of the loop on fakes: stories, the model check's traces, crashes, races. Fails by raising."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.guards import marks_contract
from tests.guards.find import ROOT
from tests.guards.marks_on_fake import MarksOnFake
from tests.guards.troubles import TROUBLES, Trouble
from tests.loop import test_crashes as crashes
from tests.loop import test_edges as edges
from tests.loop import test_mirroring as mirrors
from tests.loop import test_model_check_traces as traces
from tests.loop import test_news as news
from tests.loop import test_nothing_sticks as sticks
from tests.loop import test_races as races
from tests.loop import test_stories as stories
from tests.loop import test_workers as workers
from tests.loop import world as worlds
from tests.loop.invariants import Invariants
from tests.loop.tap import tapped
from tests.loop.world import MODEL, World, to_weight
from watcher.decide.after import LONGEST_PAUSE
from watcher.reconcile import Loop
from watcher.values import Kind, Target

FEW = 16
"""Places where a worker dies, in each story."""
APART = 29
"""Calls of a port between two at which somebody else comes in."""
STORIES = (*sorted(crashes.STORIES), "first", "ordered_in_a_rollout")
JOBS = crashes.SEVERAL[2:]
MOMENTS = (0, 5, 9, 13, 18)
"""Wake-ups before a trouble comes."""
UNDER = 30
"""Wake-ups while it lasts."""

STRICT = "updated on one"
"""The story whose wake-ups are looked at most closely while a trouble lasts."""

STORY = "story"
"""The kind of check that counts for nothing here: what one story says of its own end."""

Check = tuple[str, Callable[[], object]]


@dataclass(frozen=True)
class Start:
    """The beginning of one story, the calls of a port in it, and its end, told with every guard in place."""

    story: str
    world: World
    places: list[int]
    end: crashes.End
    cost: Counter[str]

    def __str__(self) -> str:
        shape = {crashes.ONE: "one", crashes.SEVERAL: "several"}.get(self.world.targets, "jobs")
        return f"{self.story} on {shape}"


Prepared = list[list[Start]]
"""Of stories with one target, with several, and with jobs only."""


def prepare() -> Prepared:
    """What the checks start from, by shape of the targets.

    From then on the registry in memory of this process writes marks as MLflow's adapter does.
    """
    vars(worlds)["FakeRegistry"] = MarksOnFake
    for story in (first, ordered_in_a_rollout):
        crashes.STORIES[story.__name__] = story
    shapes = ((crashes.ONE, STORIES), (crashes.SEVERAL, STORIES), (JOBS, ("updated",)))
    return [[_start(story, targets) for story in stories] for targets, stories in shapes]


def first(world: World) -> int:
    """Nothing reigns yet, v1 is registered."""
    return world.train(0.8)


def ordered_in_a_rollout(world: World) -> int:
    """v2 reigns over v1, v3 is on its way, and a person moves the mark back to v1."""
    world.crowned(0.8)
    world.crowned(0.9)
    to_weight(world, world.train(0.95), world.rollout.canary[0] if world.targets[0].shape is Kind.ENDPOINT else 100)
    world.registry.set_alias(MODEL, "champion", 1)
    return 1


def _start(story: str, targets: tuple[Target, ...]) -> Start:
    world = crashes.before(story, targets)
    straight = world.fork()
    cost = _cost(straight)
    return Start(story, world, crashes.places_of(world, story), crashes.end(straight), cost)


def _cost(world: World) -> Counter[str]:
    """Let a story come to rest; how often that took each call of a port, and how many lines."""
    cost = Counter[str]()

    def at(verb: str, when: str) -> None:
        cost[f"{when} {verb}"] += 1

    before = len(world.lines())
    world.rest(tapped(world, at))
    cost["lines"] = len(world.lines()) - before
    return cost


def _straight(start: Start) -> None:
    """A story comes to its end, with no more asked, written and told than it needs."""
    world = start.world.fork()
    crashes.guarded(world, start.story).conduct.strict = True
    cost = _cost(world)
    assert crashes.end(world) == start.end, "the end is another one"
    more = {what: many for what, many in cost.items() if many > start.cost[what]}
    assert not more, f"more than it needs: {more}, of {start.cost}"


def checks(prepared: Prepared) -> Iterator[Check]:
    """The cheap ones first."""
    one, several, jobs = prepared
    for dialect in marks_contract.NAMES:
        yield f"the contract of marks in {dialect.called}", functools.partial(marks_contract.holds, dialect)
    for module in (stories, workers, edges, news, sticks, traces, mirrors):
        yield from _told(module)
    for start in (*one, *several, *jobs):
        yield f"nothing happens in {start}", functools.partial(_straight, start)
    for start, wiped in itertools.product([*one, *several, *jobs], (False, True)):
        yield f"crashes in {start}, wiped={wiped}", functools.partial(_crashes, start, wiped=wiped)
    for start, name in itertools.product([*one, *several, *jobs], TROUBLES):
        # By its name alone, so that a check stays what it is when others come and go.
        said = f"{name} in {start}"
        dealt = zlib.crc32(said.encode())
        wakes = MOMENTS[dealt % len(MOMENTS)] + dealt // len(MOMENTS) % 3
        yield said, functools.partial(_troubled, start, TROUBLES[name], wakes)
    for number, (start, deed) in enumerate(itertools.product(one, sorted(races.PEOPLE))):
        if start.story == "first":
            continue  # a first version that goes leaves nothing live, rightly
        yield f"meanwhile {deed} in {start}", functools.partial(_races, start, deed, number)


def _told(module: ModuleType) -> Iterator[Check]:
    for name, test in inspect.getmembers(module, inspect.isfunction):
        if name.startswith("test_"):
            for values in _cases(test):
                yield f"{name} {values or ''}".rstrip(), functools.partial(_watched, test, values)


def _watched(test: Callable[..., None], values: dict[str, Any]) -> None:
    with watching() as watchers:
        test(**values)
    for invariants in watchers:
        world = invariants.world
        world.now += 2 * max(world.rollout.keep_warm, LONGEST_PAUSE)
        _go_on(world, world.worker(), UNDER)
        if world.wake().step.reason == "nothing_to_do":
            invariants.at_rest()
            invariants.quiet()


def _cases(test: Any) -> list[dict[str, Any]]:
    """The arguments of each case of a test that pytest would run."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    spread = []
    for mark in marks:
        named = mark.args[0]
        names = [name.strip() for name in (named.split(",") if isinstance(named, str) else named)]
        rows = [row if len(names) > 1 else [row] for row in mark.args[1]]
        spread.append([dict(zip(names, row, strict=True)) for row in rows])
    return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*spread)]


def _crashes(start: Start, *, wiped: bool) -> None:
    for place in start.places[:: max(len(start.places) // FEW, 1)]:
        world = start.world.fork()
        invariants = crashes.guarded(world, start.story)
        crashes.die_at(world, place)
        invariants.look()
        if wiped:
            world.ledger.wipe()
        world.rest(world.worker())
        assert crashes.end(world) == start.end, f"died at port call {place}"
        invariants.at_rest()
        if not wiped:
            invariants.intent_before_act()
        if start.story == "updated":
            invariants.one_launch_each()


def _races(start: Start, deed: str, first: int) -> None:
    for pause, wakes in ((0.0, 1), (60.0, 4)):
        for place in start.places[first % APART :: APART]:
            races.interrupted(start.world, start.story, place, races.PEOPLE[deed], wakes, pause)


@contextlib.contextmanager
def watching() -> Iterator[list[Invariants]]:
    """Inside, the invariants watch every world that is made."""
    make, watchers = World.__post_init__, []

    def watched(world: World) -> None:
        make(world)
        watchers.append(Invariants(world, people=True))

    World.__post_init__ = watched  # type: ignore[method-assign,assignment]
    try:
        yield watchers
    finally:
        World.__post_init__ = make  # type: ignore[method-assign]


def _troubled(start: Start, trouble: Trouble, wakes: int) -> None:
    """A trouble comes after so many wake-ups, goes some time later, and the world comes to rest."""
    world = start.world.fork()
    invariants = crashes.guarded(world, start.story)
    invariants.people = True
    invariants.conduct.strict = str(start) == STRICT
    loop = world.worker()
    _go_on(world, loop, wakes)
    trouble.strike(world)
    _go_on(world, loop, UNDER)
    trouble.lift(world)
    _come_to_rest(world, invariants, loop)
    if trouble.harmless:
        assert crashes.end(world) == _end(start), "the end is another one than without the trouble"


_ENDS: dict[int, crashes.End] = {}


def _end(start: Start) -> crashes.End:
    """Where the story comes to by itself."""
    if id(start) not in _ENDS:
        world = start.world.fork()
        _come_to_rest(world, crashes.guarded(world, start.story))
        _ENDS[id(start)] = crashes.end(world)
    return _ENDS[id(start)]


def _go_on(world: World, loop: Loop, wakes: int) -> None:
    for _ in range(wakes):
        woken = world.wake(loop)
        if not woken.acted:
            world.now = max(world.now, min(woken.again or world.now + 5.0, world.now + 60.0))


def _come_to_rest(world: World, invariants: Invariants, loop: Loop | None = None) -> None:
    loop = loop or world.worker()
    for _ in range(2):
        world.rest(loop)
        world.now += max(world.rollout.keep_warm, LONGEST_PAUSE) + 1.0
    world.rest(loop)
    if world.wake(loop).step.reason == "nothing_to_do":
        invariants.at_rest()
    invariants.quiet()


def kind(error: BaseException) -> str:
    """Which kind of check failed, by the place that raised."""
    last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    if last.name in ("invariants.py", "conduct.py"):
        return "invariant"
    if last.name == "marks_contract.py":
        return "contract"
    if last.name == "suite.py":
        return "same end"
    if last == Path(inspect.getfile(World)):
        return "no rest"
    return STORY if last.is_relative_to(ROOT / "tests") else "exception"
