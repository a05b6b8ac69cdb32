"""What wakes a model, and what the polling costs."""

from __future__ import annotations

from tests.loop.world import START
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.registry import FakeRegistry
from watcher.poll import OVERLAP_MS, Poller
from watcher.slots import holders, take


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def poller(registry: FakeRegistry, ledger: FakeLedger, *named: str) -> Poller:
    return Poller(registry, ledger, lambda name: name.startswith("watched"), named)


def world(models: int = 3) -> tuple[Clock, FakeRegistry, FakeLedger]:
    clock = Clock()
    registry = FakeRegistry(clock)
    for number in range(models):
        registry.create_version(f"watched-{number}")
    registry.create_version("other")
    return clock, registry, FakeLedger()


def test_a_new_version_wakes_its_model_once() -> None:
    clock, registry, ledger = world()
    watching = poller(registry, ledger)
    assert watching.changes() == {"watched-0", "watched-1", "watched-2"}
    clock.now += 60
    registry.create_version("watched-1")
    assert watching.changes() == {"watched-1"}
    assert watching.changes() == set()


def test_an_idle_change_poll_is_one_call_and_writes_nothing() -> None:
    _, registry, ledger = world(50)
    watching = poller(registry, ledger)
    watching.changes()
    registry.calls.clear()
    ledger.calls.clear()
    assert watching.changes() == set()
    assert len(registry.calls) == 1
    assert [call.verb for call in ledger.calls] == ["load"]


def test_a_version_that_was_committed_late_behind_the_watermark_is_found() -> None:
    clock, registry, ledger = world()
    watching = poller(registry, ledger)
    registry.create_version("watched-0")
    clock.now += 120
    registry.create_version("watched-1")
    watching.changes()
    registry.create_version("watched-2", created_ms=int(clock.now * 1000) - OVERLAP_MS + 1_000)
    assert watching.changes() == {"watched-2"}


def test_another_process_goes_on_where_the_first_one_stopped() -> None:
    clock, registry, ledger = world()
    poller(registry, ledger).changes()
    clock.now += 60
    registry.create_version("watched-2")
    assert poller(registry, ledger).changes() == {"watched-2"}


def test_models_that_the_settings_do_not_name_are_left_alone() -> None:
    _, registry, ledger = world()
    watching = poller(registry, ledger)
    assert "other" not in watching.changes() | watching.resync() | watching.marks()


def test_a_moved_alias_wakes_its_model_although_nothing_was_touched() -> None:
    clock, registry, ledger = world()
    watching = poller(registry, ledger)
    watching.resync()
    watching.marks()
    clock.now += 60
    registry.set_alias("watched-1", "champion", 1)
    assert watching.changes() == {"watched-0", "watched-1", "watched-2"}
    assert watching.changes() == set()
    assert watching.marks() == {"watched-1"}
    assert watching.marks() == set()


def test_what_the_ledger_says_is_due_wakes_but_the_loops_own_records_do_not() -> None:
    clock, registry, ledger = world()
    ledger.save("watched-0", {}, None, due=clock.now - 1)
    ledger.save("#slots", {}, None, due=clock.now - 1)
    ledger.save("gone-from-settings", {}, None, due=clock.now - 1)
    assert poller(registry, ledger).due(clock.now) == {"watched-0"}


def test_the_resync_wakes_what_the_settings_name_even_if_the_registry_does_not_show_it() -> None:
    _, registry, ledger = world()
    assert "watched-later" in poller(registry, ledger, "watched-later").resync()


def test_a_slot_of_a_model_that_is_no_longer_watched_is_given_back_at_the_resync() -> None:
    _, registry, ledger = world()
    take(ledger, "removed", 3)
    take(ledger, "watched-1", 3)
    poller(registry, ledger).resync()
    assert holders(ledger) == ("watched-1",)
