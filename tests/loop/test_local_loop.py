"""The plain loop in one process: several models at once, faults told once, a clean stop."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.loop.world import MODEL, POLICY, ROLLOUT, target
from watcher.errors import Transient
from watcher.fakes.deployer import FakeDeployer
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.registry import FakeRegistry
from watcher.gather import Sources
from watcher.loop import WORKERS, LocalLoop
from watcher.poll import Poller
from watcher.reconcile import Loop
from watcher.settings import Limits, Poll, Watched
from watcher.values import Analysis, Example, Mode, Target

OTHER = "prod.fraud.cards"


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if condition():
            return True
        threading.Event().wait(0.01)
    return condition()


class Slow:
    """A deployer that blocks on one model's target until it is let go."""

    def __init__(self, inner: FakeDeployer) -> None:
        self._inner, self.let_go, self.blocked = inner, threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def observe(self, place: Target) -> Any:
        if place.model == MODEL:
            self.blocked.set()
            self.let_go.wait(30)
        return self._inner.observe(place)


@dataclass
class Running:
    registry: FakeRegistry = field(default_factory=lambda: FakeRegistry(time.time))
    ledger: FakeLedger = field(default_factory=FakeLedger)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deployer = FakeDeployer(time.time, launch_seconds=0.01, requests_per_second=5_000.0)
        self.port: Any = self.deployer

    def watched(self, name: str) -> Watched | None:
        if name not in (MODEL, OTHER):
            return None
        rollout = replace(ROLLOUT, bake=0.02, analysis=Analysis(min_requests=1))
        place = replace(target(), model=name, place=f"fake:{name}")
        return Watched(name, Mode.DEPLOY, POLICY, rollout, (place,))

    @contextmanager
    def running(self, limits: Limits | None = None) -> Iterator[LocalLoop]:
        sources = Sources(self.registry, self.registry, {"fake": self.port}, lambda _: Example(b"{}"))
        loop = Loop(sources, self.ledger, limits or Limits(), time.time, "w", evidence_every=0.1)
        every = Poll(changes=0.02, marks=0.02, evidence=0.05, resync=0.2)
        poller = Poller(self.registry, self.ledger, lambda name: self.watched(name) is not None, ())
        local = LocalLoop(loop, poller, every, self.watched, time.time, self.told.append)
        thread = threading.Thread(target=local.run)
        thread.start()
        try:
            yield local
        finally:
            local.halt()
            thread.join(20)
            assert not thread.is_alive()

    def train(self, name: str, auc: float) -> int:
        return self.registry.create_version(name, {"auc": auc}, example=Example(b"{}", rows=1))

    def asked(self, verb: str) -> int:
        """How often the registry was asked so."""
        return [call[0] for call in self.registry.calls.copy()].count(verb)

    def champion(self, name: str) -> int | None:
        return self.registry.read(name).champion


def test_one_slow_model_never_delays_another() -> None:
    world = Running()
    slow = Slow(world.deployer)
    world.port = slow
    world.train(MODEL, 0.8)
    version = world.train(OTHER, 0.8)
    with world.running():
        assert slow.blocked.wait(10)
        assert eventually(lambda: world.champion(OTHER) == version)
        assert world.champion(MODEL) is None
        slow.let_go.set()
        assert eventually(lambda: world.champion(MODEL) == 1)


def test_a_registry_out_of_reach_is_told_once_and_the_loop_goes_on_when_it_is_back() -> None:
    world = Running()
    version = world.train(MODEL, 0.8)
    for verb in ("names", "changed", "marks"):
        world.registry.fail(verb, Transient("the registry does not answer"), times=1_000)
    with world.running():
        assert eventually(lambda: min(world.asked(verb) for verb in ("names", "changed", "marks")) > 3)
        world.registry.restore(replace(world.registry.snapshot(), faults={}))
        assert eventually(lambda: world.champion(MODEL) == version)
        assert eventually(lambda: any("works again" in line for line in world.told))
    assert len([line for line in world.told if "works again" in line]) == 1
    [told] = [line for line in world.told if "does not answer" in line]
    assert re.search(r"\(since [0-9-]{10} [0-9:]{8} UTC; keeps serving, tries again\)$", told)


def test_two_rollouts_wait_for_one_slot_and_both_are_done_in_the_end() -> None:
    world = Running()
    for name in (MODEL, OTHER):
        world.train(name, 0.8)
    with world.running(Limits(rollouts_at_once=1)):
        assert eventually(lambda: world.champion(MODEL) == 1 and world.champion(OTHER) == 1, 40)
    started = [x for x in world.ledger.history(newest_first=False) if x.event in ("rollout_started", "crowned")]
    assert [x.event for x in started] == ["rollout_started", "crowned"] * 2


def test_a_persons_alias_is_seen_by_the_sweep_and_obeyed() -> None:
    world = Running()
    first = world.train(MODEL, 0.8)
    with world.running():
        assert eventually(lambda: world.champion(MODEL) == first)
        second = world.train(MODEL, 0.9)
        assert eventually(lambda: world.champion(MODEL) == second)
        world.registry.set_alias(MODEL, "champion", first)
        place = world.watched(MODEL)
        assert place is not None
        assert eventually(lambda: world.deployer.serving(place.targets[0]) == {first: 100})
    assert world.champion(MODEL) == first


def test_a_poll_that_met_an_error_nobody_foresaw_is_asked_again() -> None:
    world = Running()
    version = world.train(MODEL, 0.8)
    world.registry.fail("changed", KeyError("a bug"))
    world.registry.fail("names", KeyError("a bug"))
    with world.running():
        assert eventually(lambda: world.champion(MODEL) == version)
        newer = world.train(MODEL, 0.9)
        assert eventually(lambda: world.champion(MODEL) == newer)


class Counting:
    """A ledger that counts the questions for one model's record."""

    def __init__(self, inner: FakeLedger) -> None:
        self._inner, self.loads = inner, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def load(self, key: str) -> Any:
        self.loads += key == MODEL
        return self._inner.load(key)


@contextmanager
def looping(local: LocalLoop) -> Iterator[None]:
    thread = threading.Thread(target=local.run)
    thread.start()
    try:
        yield
    finally:
        local.halt()
        thread.join(20)
        assert not thread.is_alive()


def test_a_model_in_trouble_is_left_alone_for_its_pause_although_polls_find_it_all_the_time() -> None:
    world = Running()
    world.train(MODEL, 0.8)
    world.registry.fail("read", Transient("403"), times=10_000)
    ledger = Counting(world.ledger)
    sources = Sources(world.registry, world.registry, {"fake": world.port}, lambda _: Example(b"{}"))
    loop = Loop(sources, ledger, Limits(), time.time, "w")
    poller = Poller(world.registry, ledger, lambda _: True, (MODEL,))
    resyncs: list[int] = []

    def resync() -> set[str]:
        resyncs.append(1)
        return {MODEL}

    poller.resync = resync  # type: ignore[method-assign]
    every = Poll(resync=0.01)
    with looping(LocalLoop(loop, poller, every, world.watched, time.time, world.told.append)):
        assert eventually(lambda: len(resyncs) >= 60)
    assert 1 <= ledger.loads <= 5, "after pauses of 0.5, 1, 2 and 4 s"


def test_a_stop_begins_nothing_of_what_still_waits_for_a_thread() -> None:
    asked: list[str] = []
    names = tuple(f"m{number}" for number in range(200))
    go = threading.Event()

    def watched(name: str) -> Watched | None:
        asked.append(name)
        go.wait(20)
        return None

    registry, ledger = FakeRegistry(time.time), FakeLedger()
    loop = Loop(Sources(registry, registry, {}, lambda _: Example(b"{}")), ledger, Limits(), time.time, "w")
    local = LocalLoop(loop, Poller(registry, ledger, lambda _: True, names), Poll(), watched, time.time, print)
    with looping(local):
        assert eventually(lambda: len(asked) == WORKERS)
        local.halt()
        go.set()
    assert len(asked) == WORKERS


def test_a_bug_in_one_models_wake_up_is_loud_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    world = Running()
    version = world.train(MODEL, 0.8)
    world.registry.fail("versions", KeyError("a bug"), times=2)
    with world.running():
        assert eventually(lambda: world.champion(MODEL) == version)
    assert any("works again" in line and "2 failed tries" in line for line in world.told)
    assert any("does not know" in record.message for record in caplog.records)
