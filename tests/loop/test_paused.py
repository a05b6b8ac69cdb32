"""What is seen while a person has paused the watcher, or holds a model, is not forgotten: it counts once that ends.

On the real ledger, and some on MLflow's own registry. No resync ever happens here: it would find all, an hour later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from tests.contract.test_ledger_sqlite import ledger
from tests.contract.test_registry_fake import FakeWorld
from tests.loop.test_local_loop import eventually, looping
from tests.loop.world import POLICY, ROLLOUT, World, target, to_weight
from tests.notify.test_outbox import Service
from tests.registry.conftest import world as registry
from tests.registry.mlflow_world import MlflowWorld
from watcher.fakes.deployer import FakeDeployer
from watcher.gather import Sources
from watcher.ledger.sqlite import SqliteLedger
from watcher.loop import LocalLoop
from watcher.news import News
from watcher.outbox import Nobody, Outbox
from watcher.pause import set_paused
from watcher.poll import SWEPT, Poller
from watcher.reconcile import Loop
from watcher.settings import Limits, Poll, Watched
from watcher.values import Analysis, Example, Mode, Observed, Target

__all__ = ["ledger", "registry"]

CHURN = "churn"
PLACE = replace(target(), model=CHURN, place="fake:churn")
FAST = replace(
    ROLLOUT, canary=(100,), bake=0.0, analysis=Analysis(no_traffic="probe"), keep_warm=0.0, probe_file="rows.json"
)
WATCHED = Watched(CHURN, Mode.DEPLOY, POLICY, FAST, (PLACE,))


@dataclass
class Process:
    """What dies with a process: its poller's memory, and its appointments."""

    poller: Poller
    loop: Loop

    def round(self) -> None:
        """Ask every poll but the resync once, and wake what it names, and what took a step, until nothing does."""
        poller = self.poller
        names = poller.changes() | poller.marks() | poller.due(poller.clock())
        while names:
            names = {name for name in names if self.loop.wake(WATCHED).acted}


@dataclass
class Machine:
    """The real ledger and registry, and one target, which outlive every process."""

    ledger: SqliteLedger
    registry: MlflowWorld | FakeWorld
    later: float = 0.0
    """Seconds by which the clock is ahead."""
    service: Service | None = None
    deployer: FakeDeployer = field(init=False)

    def __post_init__(self) -> None:
        self.deployer = FakeDeployer(self.clock, launch_seconds=0.0)

    def clock(self) -> float:
        return time.time() + self.later

    def process(self) -> Process:
        registry = self.registry.registry
        sources = Sources(registry, registry, {"fake": self.deployer}, lambda _: Example(b"{}", rows=1))
        outbox = Outbox(self.ledger, self.service, frozenset(News), self.clock) if self.service else Nobody()
        loop = Loop(sources, self.ledger, Limits(), self.clock, "w", evidence_every=30.0, outbox=outbox)
        return Process(Poller(registry, self.ledger, lambda name: name == CHURN, (CHURN,), self.clock), loop)

    def train(self, auc: float) -> int:
        self.registry.tick()
        return self.registry.create_version(CHURN, {"auc": auc})

    def pause(self) -> None:
        set_paused(self.ledger, "ana", on=True, now=self.clock())

    def resume(self) -> None:
        set_paused(self.ledger, "ana", on=False, now=self.clock())

    def order(self, version: int) -> None:
        self.registry.set_alias(CHURN, "champion", version)

    def serving(self) -> dict[int, int]:
        return self.deployer.serving(PLACE)

    def crowned(self) -> None:
        """v1 serves, v2 lost, and every poll has seen it."""
        process = self.process()
        self.train(0.8)
        for _ in range(3):
            process.round()
        self.train(0.7)
        for _ in range(3):
            process.round()
        assert self.serving() == {1: 100}
        assert self.ledger.due(self.clock() + 1e9) == []


@pytest.fixture
def machine(ledger: SqliteLedger) -> Machine:
    world = FakeWorld()
    world.now = time.time()
    made = Machine(ledger, world)
    made.crowned()
    return made


@pytest.fixture
def real(ledger: SqliteLedger, registry: MlflowWorld) -> Machine:
    made = Machine(ledger, registry)
    made.crowned()
    return made


@contextmanager
def running(machine: Machine, told: list[str]) -> Iterator[None]:
    """`watcher run` between two resyncs."""
    process = machine.process()
    process.poller.resync = set  # type: ignore[method-assign]
    local = LocalLoop(
        process.loop, process.poller, Poll(0.05, 0.05, 0.05), lambda _: WATCHED, machine.clock, told.append
    )
    with looping(local):
        yield


def swept(real: Machine) -> tuple[object, object]:
    """What the sweep of the marks saw last, and which models had moved."""
    stored = real.ledger.load(SWEPT)
    return (stored.body["marks"], stored.body["moved"]) if stored else (None, None)


def test_an_order_given_in_a_pause_is_carried_out_by_the_loop_that_saw_it_once_the_pause_ends(
    real: Machine,
) -> None:
    told: list[str] = []
    real.pause()
    with running(real, told):
        before, _ = swept(real)
        real.order(2)
        assert eventually(lambda: swept(real)[0] != before and swept(real)[1] == []), "seen, and quiet again"
        assert real.serving() == {1: 100}
        real.resume()
        assert eventually(lambda: real.serving() == {2: 100}, 10)
    assert [line for line in told if line.startswith("watcher: ")] == [
        "watcher: paused by ana: it observes, and does nothing until it is resumed.",
        "watcher: resumed by ana.",
    ]


def order(machine: Machine) -> None:
    machine.order(2)


def winner(machine: Machine) -> None:
    machine.train(0.9)


def unmarked(machine: Machine) -> None:
    machine.registry.delete_alias(CHURN, "champion")
    machine.order(2)


SEEN: list[tuple[Callable[[Machine], None], dict[int, int]]] = [
    (order, {2: 100}),
    (winner, {3: 100}),
    (unmarked, {2: 100}),
]


@pytest.mark.parametrize("restarts", ["no process", "a process in the pause", "a process at its end", "both"])
@pytest.mark.parametrize(("what", "serving"), SEEN)
def test_what_was_seen_in_a_pause_counts_after_it_whatever_process_saw_it(
    machine: Machine, restarts: str, what: Callable[[Machine], None], serving: dict[int, int]
) -> None:
    process = machine.process()
    process.round()
    machine.pause()
    process.round()
    what(machine)
    for _ in range(3):
        process.round()
        if restarts in ("a process in the pause", "both"):
            process = machine.process()
    assert machine.serving() == {1: 100}
    machine.resume()
    if restarts in ("a process at its end", "both"):
        process = machine.process()
    for _ in range(3):
        process.round()
    assert machine.serving() == serving


@pytest.mark.parametrize(("what", "serving"), SEEN[:2])
def test_so_it_is_on_a_real_registry_with_a_new_process_each_time(
    real: Machine, what: Callable[[Machine], None], serving: dict[int, int]
) -> None:
    real.pause()
    what(real)
    for _ in range(2):
        real.process().round()
    assert real.serving() == {1: 100}
    real.resume()
    for _ in range(2):
        real.process().round()
    assert real.serving() == serving


def test_an_appointment_that_comes_in_a_pause_is_kept_after_it(machine: Machine) -> None:
    process = machine.process()
    version = machine.registry.create_version(CHURN)
    process.round()
    machine.pause()
    machine.registry.log_metric(CHURN, version, "auc", 0.9)
    machine.later += 60.0
    process.round()
    process.round()
    assert machine.serving() == {1: 100}
    machine.resume()
    for _ in range(3):
        process.round()
    assert machine.serving() == {version: 100}


def test_a_pause_that_begins_in_the_middle_of_a_rollout_does_not_end_it(machine: Machine) -> None:
    process = machine.process()
    version = machine.train(0.9)
    while machine.registry.registry.read(CHURN).challenger is None:
        process.loop.wake(WATCHED)
    machine.pause()
    machine.later += 60.0
    for _ in range(3):
        process.round()
    assert machine.serving() == {1: 100}
    machine.resume()
    for _ in range(3):
        process.round()
    assert machine.serving() == {version: 100}


def test_a_wake_up_that_read_the_pause_before_its_end_and_is_saved_after_it_loses_nothing(machine: Machine) -> None:
    process = machine.process()
    process.round()
    machine.pause()
    machine.order(2)
    names = process.poller.marks()
    assert names == {CHURN}
    observe = machine.deployer.observe

    def resumed(place: Target) -> Observed:
        machine.resume()
        return observe(place)

    machine.deployer.observe = resumed  # type: ignore[method-assign, assignment]
    assert process.loop.wake(WATCHED).step.reason == "paused"
    machine.deployer.observe = observe  # type: ignore[method-assign]
    process.round()
    assert machine.serving() == {2: 100}


def test_in_a_pause_nothing_is_woken_over_and_over(machine: Machine) -> None:
    process = machine.process()
    machine.pause()
    machine.order(2)
    process.round()
    before = machine.ledger.load(CHURN)
    for _ in range(3):
        machine.later += 600.0
        assert process.poller.changes() | process.poller.marks() | process.poller.due(machine.clock()) == set()
    assert machine.ledger.load(CHURN) == before


def test_news_that_could_not_be_sent_go_out_in_a_pause_and_the_order_still_counts_after_it(machine: Machine) -> None:
    machine.service = Service(down={0}, patience=10.0)
    process = machine.process()
    machine.order(2)
    names = process.poller.marks()
    assert names == {CHURN}
    process.loop.wake(WATCHED)
    machine.order(1)
    machine.pause()
    for _ in range(2):
        machine.later += 100.0
        process.round()
    assert machine.service.told(0) == []
    machine.service.down.clear()
    machine.later += 1_000.0
    process.round()
    assert machine.service.told(0) != []
    machine.resume()
    process.round()
    assert machine.ledger.history(CHURN, event="order")[0].version == 1


def test_a_hold_that_came_and_went_between_two_sweeps_holds_no_rollout_for_good() -> None:
    world = World(rollout=replace(ROLLOUT, analysis=Analysis(no_traffic="probe")))
    world.crowned(0.8)
    watching = Poller(world.registry, world.ledger, lambda _: True, (), world.clock)
    version, loop = world.train(0.9), world.worker()
    to_weight(world, version, 10)
    watching.changes()
    for _ in range(2):
        watching.marks()
    world.registry.hold(world.watched.name, "ana")
    assert world.wake(loop).step.reason == "held"
    world.registry.hold(world.watched.name, None)
    for _ in range(100):
        world.now += 60.0
        for _name in watching.changes() | watching.marks() | watching.due(world.now):
            while world.wake(loop).acted:
                pass
    assert world.champion() == version
