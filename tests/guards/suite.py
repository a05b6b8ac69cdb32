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
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.guards import marks_contract
from tests.guards.find import ROOT
from tests.guards.marks_on_fake import MarksOnFake
from tests.guards.troubles import TROUBLES, Trouble
from tests.loop import test_backlogs as backlogs
from tests.loop import test_crashes as crashes
from tests.loop import test_edges as edges
from tests.loop import test_evaluations as evaluations
from tests.loop import test_mirroring as mirrors
from tests.loop import test_model_check_traces as traces
from tests.loop import test_news as news
from tests.loop import test_nothing_sticks as sticks
from tests.loop import test_races as races
from tests.loop import test_slow_targets as slow
from tests.loop import test_stories as stories
from tests.loop import test_workers as workers
from tests.loop import world as worlds
from tests.loop.invariants import Invariants
from tests.loop.tap import tapped
from tests.loop.world import MODEL, World, to_weight
from watcher.decide.after import LONGEST_PAUSE
from watcher.errors import Transient
from watcher.reconcile import Loop
from watcher.values import Kind, Target, Wrote

FEW = 16
"""Places where a worker dies, in each story."""
APART = 29
"""Calls of a port between two at which somebody else comes in."""
STORIES = (*sorted(crashes.STORIES), "first", "ordered_in_a_rollout")
MARKS = ("challenge", "crown", "write_crown", "tag")
"""Calls of a port that write a mark."""
JOBS = crashes.SEVERAL[2:]
WROTE = Wrote(rows=1_000, since=0.0, until=1.0)
"""What every job says it wrote."""
STALENESS = 5.0
"""Seconds by which a registry with replicas may be late."""
MOMENTS = (0, 5, 9, 13, 18)
"""Wake-ups before a trouble comes."""
UNDER = 30
"""Wake-ups while it lasts."""
MOST, SLOWEST = 400, 600
"""Wake-ups in which everything is at rest again; two rollouts on slow targets take 441, most of them looks."""

EVERYWHEN = ("a hold, and it fails", "a target has another owner")
"""Troubles that meet every phase of the stories of one update."""
STEPS = 20
"""Of such a story."""

STORY = "story"
"""The kind of check that counts for nothing here: what one story says of its own end."""

Check = tuple[str, Callable[[], object]]


@dataclass(frozen=True)
class Start:
    """The beginning of one story, the calls of a port in it, and its end, told with every guard in place."""

    story: str
    shape: str
    world: World
    places: list[int]
    written: list[int]
    """Those right after a mark was written, of which the ledger does not know yet."""
    end: crashes.End
    cost: Counter[str]

    def __str__(self) -> str:
        return f"{self.story} on {self.shape}"


Prepared = list[list[Start]]
"""Of stories with one target, and of all others."""


def prepare() -> Prepared:
    """What the checks start from, by shape of the targets.

    From then on the registry in memory of this process writes marks as MLflow's adapter does.
    """
    vars(worlds)["FakeRegistry"] = MarksOnFake
    for story in (first, ordered_in_a_rollout):
        crashes.STORIES[story.__name__] = story
    one = [_start(story, "one", crashes.ONE) for story in STORIES]
    several = [_start(story, "several", crashes.SEVERAL) for story in STORIES]
    jobs = [_start(story, "jobs", JOBS) for story in ("updated", "ordered_back")]
    slowly = [_start(story, "slow", slow.TARGETS, slow.TAKES) for story in ("updated", "ordered_back")]
    replicated = [_start(story, "replicas", crashes.ONE, staleness=STALENESS) for story in ("updated", "ordered_back")]
    return [one, [*several, *jobs, *slowly, *replicated]]


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


def _start(
    story: str, shape: str, targets: tuple[Target, ...], shift_seconds: float = 0.0, staleness: float = 0.0
) -> Start:
    world = World(targets=targets, atomic=False)
    world.deployer.shift_seconds, world.registry.staleness = shift_seconds, staleness
    if shift_seconds:
        worlds.with_rollout(world, canary=(50, 100), bake=shift_seconds / 10)
    world.deployer.apply_seconds = 1.0 if shape == "jobs" else 0.0
    world.deployer.wrote.update(dict.fromkeys(range(10), WROTE))
    crashes.STORIES[story](world)
    straight, calls = world.fork(), list[tuple[str, str]]()
    cost = _cost(straight, calls)
    written = [place for place, (verb, when) in enumerate(calls) if verb in MARKS and when == "after"]
    return Start(story, shape, world, crashes.places_of(world, story), written, crashes.end(straight), cost)


def _cost(world: World, calls: list[tuple[str, str]]) -> Counter[str]:
    """Let a story come to rest; how often that took each call of a port, how many lines, and how long."""
    before, began = len(world.lines()), world.now
    world.rest(tapped(world, lambda verb, when: calls.append((verb, when))))
    cost = Counter(f"{when} {verb}" for verb, when in calls)
    cost["lines"] = len(world.lines()) - before
    cost["milliseconds"] = round(1_000 * (world.now - began))
    return cost


def _straight(start: Start) -> None:
    """A story comes to its end, with no more asked, written and told than it needs, and no later."""
    world = start.world.fork()
    crashes.guarded(world, start.story).conduct.strict = True
    cost = _cost(world, [])
    assert crashes.end(world) == start.end, "the end is another one"
    more = {what: many for what, many in cost.items() if many > start.cost[what]}
    assert not more, f"more than it needs: {more}, of {start.cost}"


def checks(prepared: Prepared) -> Iterator[Check]:
    """The cheap ones first."""
    one, others = prepared
    starts = [*one, *others]
    for dialect in marks_contract.NAMES:
        yield f"the contract of marks in {dialect.called}", functools.partial(marks_contract.holds, dialect)
    for module in (stories, workers, edges, news, sticks, traces, mirrors, slow, evaluations, backlogs):
        yield from _told(module)
    for start in starts:
        yield f"nothing happens in {start}", functools.partial(_straight, start)
    for start, wiped in itertools.product(starts, (False, True)):
        yield f"crashes in {start}, wiped={wiped}", functools.partial(_crashes, start, wiped=wiped)
    for start, name in itertools.product(starts, TROUBLES):
        # By its name alone, so that a check stays what it is when others come and go.
        said = f"{name} in {start}"
        dealt = zlib.crc32(said.encode())
        wakes = 0 if TROUBLES[name].early else MOMENTS[dealt % len(MOMENTS)] + dealt // len(MOMENTS) % 3
        yield said, functools.partial(_troubled, start, TROUBLES[name], wakes)
    updates = [start for start in starts if start.story in ("first", "updated")]
    for start, name, steps in itertools.product(updates, EVERYWHEN, range(STEPS)):
        yield f"{name} after {steps} steps in {start}", functools.partial(_troubled, start, TROUBLES[name], 0, steps)
    for number, (start, deed) in enumerate(itertools.product(one, sorted(races.PEOPLE))):
        if start.story == "first":
            continue  # a first version that goes leaves nothing live, rightly
        yield f"meanwhile {deed} in {start}", functools.partial(_races, start, deed, number)


def _told(module: ModuleType) -> Iterator[Check]:
    for name, test in inspect.getmembers(module, inspect.isfunction):
        long = any(mark.name == "long" for mark in getattr(test, "pytestmark", []))
        if name.startswith("test_") and not long and (_fixtures(module, test) is not None):
            for values in _cases(test):
                yield f"{name} {values or ''}".rstrip(), functools.partial(_watched, module, test, values)


def _fixtures(module: ModuleType, test: Any) -> list[str] | None:
    """Fixtures of the module that a test uses, None where it uses others."""
    marks = getattr(test, "pytestmark", [])
    given = {name for mark in marks if mark.name == "parametrize" for name in _names(mark)}
    used = [name for mark in marks if mark.name == "usefixtures" for name in mark.args]
    used += [name for name in inspect.signature(test).parameters if name not in given]
    return used if all(hasattr(module, name) for name in used) else None


def _made(module: ModuleType, name: str, patch: pytest.MonkeyPatch) -> Any:
    """What a fixture of the module gives."""
    fixture = inspect.unwrap(getattr(module, name))
    return fixture(patch) if "monkeypatch" in inspect.signature(fixture).parameters else fixture()


def _watched(module: ModuleType, test: Callable[..., None], values: dict[str, Any]) -> None:
    with watching() as watchers, pytest.MonkeyPatch.context() as patch:
        made = {name: _made(module, name, patch) for name in _fixtures(module, test) or ()}
        test(**values, **{name: given for name, given in made.items() if given is not None})
    for invariants in watchers:
        world = invariants.world
        world.now += 2 * max(world.rollout.keep_warm, LONGEST_PAUSE)
        _go_on(world, world.worker(), UNDER)
        woken = world.wake()
        if woken.step.reason == "nothing_to_do" and woken.again is None:
            invariants.at_rest()
            invariants.quiet()


def _names(mark: pytest.Mark) -> list[str]:
    """The arguments that a parametrized test is given."""
    names = mark.args[0]
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def _cases(test: Any) -> list[dict[str, Any]]:
    """The arguments of each case of a test that pytest would run."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    spread = []
    for mark in marks:
        names = _names(mark)
        rows = [row if len(names) > 1 else [row] for row in mark.args[1]]
        spread.append([dict(zip(names, row, strict=True)) for row in rows])
    return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*spread)]


def _crashes(start: Start, *, wiped: bool) -> None:
    apart = max(len(start.places) // FEW, 1)
    for place in sorted({*start.places[::apart], *start.written}):
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


def _troubled(start: Start, trouble: Trouble, wakes: int, steps: int = 0) -> None:
    """A trouble comes after so many wake-ups and steps, goes some time later, and the world comes to rest."""
    world = start.world.fork()
    invariants = crashes.guarded(world, start.story)
    invariants.people = True
    invariants.conduct.strict = True
    loop = world.worker()
    _go_on(world, loop, wakes)
    while steps and (woken := world.wake(loop)).step.reason != "nothing_to_do":
        steps -= woken.acted
        world.now = world.now if woken.acted else max(world.now, woken.again or world.now)
    trouble.strike(world)
    loop = replace(loop, limits=world.limits)
    _go_on(world, loop, UNDER)
    trouble.lift(world)
    _come_to_rest(world, invariants, replace(loop, limits=world.limits))
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
        try:
            woken = world.wake(loop)
        except Transient:
            world.now += 1.0
            continue
        if not woken.acted:
            world.now = max(world.now, min(woken.again or world.now + 5.0, world.now + 60.0))


def _come_to_rest(world: World, invariants: Invariants, loop: Loop | None = None) -> None:
    loop = loop or world.worker()
    for _ in range(2):
        world.rest(loop, SLOWEST if world.deployer.shift_seconds else MOST)
        world.now += max(world.rollout.keep_warm, LONGEST_PAUSE) + 1.0
    world.rest(loop)
    if world.wake(loop).step.reason == "nothing_to_do":
        invariants.at_rest()
    invariants.quiet()


def kind(error: BaseException) -> str:
    """Which kind of check failed, by the place that raised."""
    if isinstance(error, pytest.fail.Exception):
        return STORY  # an error that one story waits for did not come
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
