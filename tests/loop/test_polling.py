"""What wakes a model, and what the polling costs."""

from __future__ import annotations

import pytest

from tests.loop.world import START
from watcher.errors import Transient
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.registry import FakeRegistry
from watcher.poll import OVERLAP_MS, SWEPT, Poller
from watcher.record import key_of
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


@pytest.mark.parametrize("hours", [1, 24 * 365])
def test_a_registry_whose_clock_runs_ahead_hides_no_later_version(hours: int) -> None:
    clock, registry, ledger = world()
    watching = Poller(registry, ledger, lambda name: name.startswith("watched"), (), clock)
    watching.changes()
    registry.create_version("watched-0", created_ms=int(clock.now * 1000) + hours * 3_600_000)
    assert watching.changes() == {"watched-0"}
    for _ in range(3):
        clock.now += 1_200
        registry.calls.clear()
        registry.create_version("watched-1")
        assert watching.changes() == {"watched-1"}
        assert len(registry.calls) == 1


def test_a_watermark_that_was_written_by_a_clock_running_ahead_is_not_believed() -> None:
    clock, registry, ledger = world()
    ledger.save("#poll", {"watermark": int(clock.now * 1000) + 10**10, "seen": {}}, None)
    watching = Poller(registry, ledger, lambda name: name.startswith("watched"), (), clock)
    assert "watched-2" in watching.changes()


@pytest.mark.parametrize("body", [{}, {"watermark": "soon", "seen": ["a"]}, {"watermark": None}])
def test_a_memory_of_polls_that_makes_no_sense_counts_as_none(body: dict[str, object]) -> None:
    _, registry, ledger = world()
    ledger.save("#poll", body, None)
    assert poller(registry, ledger).changes() == {"watched-0", "watched-1", "watched-2"}


def test_a_model_that_two_resyncs_miss_is_asked_about_no_longer_and_one_is_not_enough() -> None:
    _, registry, ledger = world()
    watching = poller(registry, ledger)
    watching.resync()
    watching.marks()
    registry.delete_model("watched-1")
    watching.resync()
    assert "watched-1" in watching.known
    watching.resync()
    assert watching.known == {"watched-0", "watched-2"} == watching.swept.keys()
    registry.create_version("watched-1")
    assert "watched-1" in watching.resync()


def test_models_named_like_the_loops_own_records_are_woken_like_any_other() -> None:
    clock, registry, ledger = world()
    for name in ("#pause", "#slots", "##poll"):
        ledger.save(key_of(name), {}, None, due=clock.now - 1)
    ledger.save("#poll", {}, None, due=clock.now - 1)
    watching = Poller(registry, ledger, lambda _: True, ())
    assert watching.due(clock.now) == {"#pause", "#slots", "##poll"}


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


def test_a_process_that_starts_wakes_only_models_whose_marks_moved_meanwhile() -> None:
    _, registry, ledger = world()
    first = poller(registry, ledger)
    first.changes()
    assert first.marks() == {"watched-0", "watched-1", "watched-2"}
    assert first.marks() == set()
    registry.set_alias("watched-1", "champion", 1)
    assert poller(registry, ledger).marks() == {"watched-1"}


def test_models_that_only_a_pattern_names_are_swept_by_a_process_that_never_saw_them() -> None:
    clock, registry, ledger = world()
    first = poller(registry, ledger)
    first.changes()
    first.marks()
    first.marks()
    clock.now += OVERLAP_MS
    second = poller(registry, ledger)
    assert second.changes() == set()
    registry.hold("watched-2", "ana")
    assert second.marks() == {"watched-2"}


def test_what_a_process_found_moved_before_it_died_is_woken_once_more() -> None:
    _, registry, ledger = world()
    poller(registry, ledger).changes()
    dying = poller(registry, ledger, "watched-0", "watched-1")
    assert dying.marks() == {"watched-0", "watched-1"}
    second = poller(registry, ledger, "watched-0", "watched-1")
    assert second.marks() == {"watched-0", "watched-1"}
    assert second.marks() == set()
    assert poller(registry, ledger, "watched-0", "watched-1").marks() == set()


def test_an_idle_sweep_reads_and_writes_nothing_in_the_ledger() -> None:
    _, registry, ledger = world(50)
    watching = poller(registry, ledger)
    watching.changes()
    watching.marks()
    watching.marks()
    ledger.calls.clear()
    assert watching.marks() == set()
    assert ledger.calls == []


def test_a_sweep_that_cannot_be_written_down_still_wakes() -> None:
    _, registry, ledger = world()
    watching = poller(registry, ledger, "watched-0")
    ledger.fail("save", Transient("away"), key=SWEPT)
    assert watching.marks() == {"watched-0"}
    assert watching.marks() == set()
    assert ledger.load(SWEPT) is not None


def test_models_that_are_watched_no_longer_are_swept_no_longer() -> None:
    _, registry, ledger = world()
    first = poller(registry, ledger)
    first.changes()
    first.marks()
    fewer = Poller(registry, ledger, lambda name: name == "watched-1", ())
    fewer.marks()
    assert fewer.known == {"watched-1"} == fewer.swept.keys()


@pytest.mark.parametrize("body", [{}, {"marks": ["a"], "moved": []}, {"marks": {"watched-0": 3}, "moved": "x"}])
def test_a_memory_of_sweeps_that_makes_no_sense_counts_as_none(body: dict[str, object]) -> None:
    _, registry, ledger = world()
    ledger.save(SWEPT, body, None)
    assert poller(registry, ledger, "watched-0").marks() == {"watched-0"}
