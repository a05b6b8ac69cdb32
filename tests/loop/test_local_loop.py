"""The plain loop in one process: several models at once, faults told once, a clean stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.loop.world import MODEL, POLICY, ROLLOUT, target
from watcher.errors import Transient
from watcher.fakes.deployer import FakeDeployer
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.registry import FakeRegistry
from watcher.gather import Sources
from watcher.loop import LocalLoop
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
        world.registry.fail(verb, Transient("the registry does not answer"), times=3)
    with world.running():
        assert eventually(lambda: world.champion(MODEL) == version)
        assert eventually(lambda: len([line for line in world.told if "works again" in line]) == 3)
    assert len([line for line in world.told if "does not answer" in line]) == 3


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
