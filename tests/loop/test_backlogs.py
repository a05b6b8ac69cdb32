"""However many versions, models and ticks there are: bounded work, nobody passed over, nothing that only grows."""

from __future__ import annotations

import gc
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.loop.conduct import record_of
from tests.loop.invariants import Invariants
from tests.loop.world import MODEL, POLICY, ROLLOUT, World
from watcher import gather
from watcher.fakes.registry import FakeRegistry
from watcher.gather import Sources
from watcher.ledger.sqlite import SqliteLedger
from watcher.policy import Approval
from watcher.poll import Poller
from watcher.reconcile import Loop
from watcher.settings import Limits, Watched
from watcher.values import Call, Example, Mode

FLAT = 5_000_000
"""Bytes by which the process may grow over all the ticks but the first quarter."""


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few versions a wake-up that a small backlog is a long one."""
    for name, most in {"MOST_VERSIONS": 12, "MOST_READ": 6, "MOST_JUDGED": 8}.items():
        monkeypatch.setattr(gather, name, most)


def wake_often(world: World, times: int) -> None:
    loop = world.worker()
    for _ in range(times):
        woken = world.wake(loop)
        world.now = max(world.now, woken.again or world.now + 5)


@pytest.mark.usefixtures("few")
def test_every_version_of_a_backlog_that_no_wake_up_reads_whole_gets_its_verdict() -> None:
    world = World()
    world.crowned(0.8)
    worse = [world.train(0.7) for _ in range(50)]
    best = world.train(0.9)
    world.rest(most=1_000)
    assert world.champion() == best
    assert {world.call(number) for number in worse} <= {Call.LOSES, Call.SUPERSEDED}
    Invariants(world).at_rest()


@pytest.mark.long
def test_every_one_of_2500_versions_gets_its_verdict() -> None:
    world = World()
    world.crowned(0.8)
    worse = [world.train(0.7) for _ in range(2_500)]
    world.rest(most=20_000)
    assert {world.call(number) for number in worse} == {Call.LOSES}


@pytest.mark.usefixtures("few")
def test_the_reads_of_each_wake_up_are_bounded() -> None:
    world = World()
    world.crowned(0.8)
    for _ in range(50):
        world.train(0.7)
    loop = world.worker()
    for _ in range(30):
        world.registry.calls.clear()
        world.wake(loop)
        verbs = [call[0] for call in world.registry.calls]
        assert verbs.count("version") <= 6 + 1
        assert verbs.count("of") <= 8 + 3 + 1


@pytest.mark.usefixtures("few")
def test_many_that_wait_for_a_person_keep_none_waiting_and_each_is_told_once() -> None:
    world = World(policy=replace(POLICY, approval=Approval("approved_by", expires=1e9)))
    first = world.train(0.8, tags={"approved_by": "ana"})
    world.rest()
    assert world.champion() == first
    waiting = [world.train(0.9) for _ in range(40)]
    wake_often(world, 60)
    told = [line.version for line in world.lines("verdict") if line.reason == "approval_missing"]
    assert sorted(number for number in told if number is not None) == waiting
    world.registry.approve(MODEL, waiting[15], "approved_by", "ana")
    wake_often(world, 150)
    assert world.champion() == waiting[15]


@pytest.mark.usefixtures("few")
def test_an_order_into_a_backlog_is_carried_out_although_its_version_was_never_judged() -> None:
    world = World(policy=replace(POLICY, approval=Approval("approved_by", expires=1e9)))
    world.train(0.8, tags={"approved_by": "ana"})
    world.rest()
    waiting = [world.train(0.9) for _ in range(40)]
    wake_often(world, 5)
    world.registry.set_alias(MODEL, "champion", waiting[20])
    world.rest(until=world.now + 30.0)
    assert world.serving() == {waiting[20]: 100}
    wake_often(world, 60)
    assert world.serving() == {waiting[20]: 100}


@pytest.mark.usefixtures("few")
def test_a_version_older_than_the_watching_is_judged_again_although_many_wait() -> None:
    world = World(policy=replace(POLICY, approval=Approval("approved_by", expires=1e9)))
    for _ in range(30):
        world.train(0.8)
    world.registry.set_alias(MODEL, "champion", 30)
    world.rest(until=world.now + 30.0)
    for _ in range(40):
        world.train(0.9)
    wake_often(world, 5)
    world.registry.rejudge(MODEL, 2)
    wake_often(world, 20)
    assert not any(version.rejudge for version in world.registry.versions(MODEL, 0))


@pytest.mark.usefixtures("few")
def test_advice_on_a_backlog_does_not_name_another_winner_at_each_turn() -> None:
    world = World(mode=Mode.ADVISE)
    world.train(0.6)
    world.registry.set_alias(MODEL, "champion", 1)
    for number in range(36):
        world.train(0.9 if number == 22 else 0.7 + number / 1_000)
    wake_often(world, 100)
    told = [line.data["detail"] for line in world.lines("told") if line.data and line.reason == "advise_only"]
    assert told[told.index("v24 wins") :] == ["v24 wins"]


def test_a_model_that_is_gone_and_serves_nothing_is_not_asked_about_for_ever() -> None:
    world = World()
    world.train(0.1)
    world.rest()
    world.registry.delete_model(MODEL)
    assert world.wake().again is None


def approved(world: World) -> dict[str, float]:
    """The approvals that are remembered."""
    record = record_of(world.kept())
    assert record is not None
    return dict(record.approved)


def test_approvals_of_versions_that_are_gone_are_forgotten() -> None:
    policy = replace(POLICY, min_age=1e6, approval=Approval("approved_by", expires=1e9))
    world = World(policy=policy)
    for _ in range(4):
        number = world.train(0.8, tags={"approved_by": "ana"})
        world.rest(until=world.now + 100)
        world.train(0.8)
        world.registry.delete_version(MODEL, number)
    world.rest(until=world.now + 100)
    assert approved(world) == {}


def test_approvals_of_a_model_are_forgotten_once_it_is_made_anew() -> None:
    world = World()
    world.crowned(0.8)
    world.policy = replace(POLICY, min_age=1e6, approval=Approval("approved_by", expires=1e9))
    world.train(0.9, tags={"approved_by": "ana"})
    world.rest(until=world.now + 100)
    assert len(approved(world)) == 1
    world.registry.delete_model(MODEL)
    first = world.train(0.8)
    world.train(0.7)
    world.registry.set_alias(MODEL, "champion", first)
    world.rest(until=world.now + 100)
    assert approved(world) == {}
    assert world.lines("ledger_rebuilt") == []


def resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("models", "ticks"),
    [pytest.param(50, 200, id="short"), pytest.param(1_000, 10_000, id="long", marks=pytest.mark.long)],
)
def test_memory_stays_flat_over_many_ticks(models: int, ticks: int, tmp_path: Path) -> None:
    """In every tick a model comes and one goes, both of names that were never seen before."""
    registry = FakeRegistry(time.time)
    for number in range(models):
        registry.create_version(f"m{number}", {"auc": 0.8})
    poller = Poller(registry, SqliteLedger(tmp_path / "ledger.db"), lambda _: True, ())
    loop = Loop(Sources(registry, registry, {}, lambda _: Example(b"{}")), poller.ledger, Limits(), time.time, "w")
    settled = 0
    for tick in range(ticks):
        registry.calls.clear()
        registry.create_version(f"passing-{tick}", {"auc": 0.8})
        if tick:
            registry.delete_model(f"passing-{tick - 1}")
        found = poller.changes() | poller.marks() | poller.due(time.time())
        found |= poller.resync() if tick % 50 == 0 else set()
        for name in found if tick else ():
            loop.wake(Watched(name, Mode.ADVISE, POLICY, ROLLOUT, ()))
        if tick == ticks // 4:
            gc.collect()
            settled = resident()
    gc.collect()
    assert len(poller.known) <= models + 150
    assert poller.known >= poller.swept.keys()
    assert resident() - settled < FLAT
