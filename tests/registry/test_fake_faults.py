"""The registry in memory fails, lags and forgets on request, and forks for nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from watcher.errors import Conflict, Terminal, Transient
from watcher.fakes.registry import FakeRegistry
from watcher.values import Artifacts, Call, Crown, Identity, Marks, Status, Version


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> FakeRegistry:
    fake = FakeRegistry(clock)
    for _ in range(3):
        fake.create_version("m", {"auc": 0.9})
    fake.set_alias("m", "champion", 1)
    return fake


CROWN = Crown(crowned=2, n=1)


def test_a_fault_before_leaves_nothing_and_a_fault_after_leaves_everything(registry: FakeRegistry) -> None:
    expect = registry.read("m")
    registry.fail("crown", Transient("lost"), "before")
    with pytest.raises(Transient):
        registry.crown("m", 2, CROWN, expect)
    assert registry.read("m") == expect
    registry.fail("crown", Transient("lost"), "after")
    with pytest.raises(Transient):
        registry.crown("m", 2, CROWN, expect)
    assert (registry.read("m").champion, registry.read("m").crown) == (2, CROWN)


def test_a_fault_between_leaves_the_alias_without_the_tag(registry: FakeRegistry) -> None:
    registry.fail("crown", Transient("died"), "between")
    with pytest.raises(Transient):
        registry.crown("m", 2, CROWN, registry.read("m"))
    assert (registry.read("m").champion, registry.read("m").crown) == (2, None)


def test_faults_come_in_order_and_end(registry: FakeRegistry) -> None:
    registry.fail("read", Transient("first"), times=2)
    registry.fail("read", Terminal("third"))
    for error in (Transient, Transient, Terminal):
        with pytest.raises(error):
            registry.read("m")
    assert registry.read("m").exists


def test_a_stale_read_is_an_old_answer_and_a_write_still_compares_with_the_newest(registry: FakeRegistry) -> None:
    before = registry.read("m")
    registry.set_alias("m", "champion", 3)
    registry.stale_writes = 1
    assert registry.read("m") == before
    with pytest.raises(Conflict):
        registry.crown("m", 2, CROWN, before)
    registry.stale_writes = 0
    assert registry.read("m").champion == 3


def test_a_write_that_compares_with_a_stale_read_overwrites(registry: FakeRegistry) -> None:
    before = registry.read("m")
    registry.set_alias("m", "champion", 3)
    registry.stale_writes, registry.stale_compare = 1, True
    registry.crown("m", 2, CROWN, before)
    registry.stale_writes = 0
    assert registry.read("m").champion == 2


def test_a_verdict_that_is_compared_with_a_stale_read_is_taken_for_written(registry: FakeRegistry) -> None:
    registry.tag("m", 1, Call.LOSES, None)
    registry.tag("m", 1, None, Call.LOSES)
    registry.stale_writes, registry.stale_compare = 1, True
    registry.tag("m", 1, Call.LOSES, None)
    with pytest.raises(Conflict):
        registry.tag("m", 1, Call.WINS, None)
    registry.stale_writes = 0
    found = registry.version("m", 1)
    assert isinstance(found, Version)
    assert found.call is None


def test_a_listing_can_be_partial_and_reordered_while_direct_gets_are_not(registry: FakeRegistry) -> None:
    registry.create_version("other")
    registry.listing = lambda _verb, rows: rows[:1]
    assert [v.number for v in registry.versions("m", 0)] == [3]
    assert len(registry.names()) == len(registry.changed(0)) == len(registry.marks(["m", "other"])) == 1
    assert registry.read("other").exists
    assert isinstance(registry.version("m", 1), Version)
    registry.listing = lambda _verb, rows: rows[::-1]
    assert [v.number for v in registry.versions("m", 0)] == [1, 2, 3]


def test_a_restored_registry_is_what_it_was_faults_included(registry: FakeRegistry) -> None:
    registry.fail("tag", Transient("lost"))
    state = registry.snapshot()
    seen = registry.read("m"), registry.versions("m", 0)
    registry.delete_model("m")
    with pytest.raises(Transient):
        registry.tag("m", 1, Call.WINS, None)
    registry.restore(state)
    assert (registry.read("m"), registry.versions("m", 0)) == seen
    with pytest.raises(Transient):
        registry.tag("m", 1, Call.WINS, None)


def test_two_forks_do_not_see_each_other(registry: FakeRegistry, clock: Clock) -> None:
    fork = FakeRegistry(clock)
    fork.restore(registry.snapshot())
    fork.set_alias("m", "champion", 2)
    fork.log_metric("m", 1, "auc", 0.1)
    assert registry.read("m").champion == 1
    first = registry.version("m", 1)
    assert isinstance(first, Version)
    assert registry.of(first).metrics["auc"].value == 0.9
    assert fork.of(first).metrics["auc"].value == 0.1


def test_a_version_created_again_in_the_same_millisecond_is_another_one(registry: FakeRegistry) -> None:
    first = registry.version("m", 1)
    registry.delete_model("m")
    registry.create_version("m")
    again = registry.version("m", 1)
    assert isinstance(first, Version)
    assert isinstance(again, Version)
    assert again.identity != first.identity


def test_a_version_committed_late_bears_the_time_of_its_request(registry: FakeRegistry, clock: Clock) -> None:
    clock.now += 10
    watermark = int(clock.now * 1000)
    number = registry.create_version("m", created_ms=watermark - 1_001)
    assert "m" not in {c.name for c in registry.changed(watermark)}
    found = registry.version("m", number)
    assert isinstance(found, Version)
    assert found.identity.created_ms == watermark - 1_001


def test_status_and_evidence_change_on_request(registry: FakeRegistry) -> None:
    number = registry.create_version("m", status=Status.PENDING)
    registry.set_status("m", number, Status.FAILED)
    registry.set_evidence("m", number, artifacts=Artifacts.ABSENT)
    found = registry.version("m", number)
    assert isinstance(found, Version)
    assert found.status is Status.FAILED
    assert registry.of(found).artifacts is Artifacts.ABSENT


def test_evidence_of_a_version_that_never_was_is_absent(registry: FakeRegistry) -> None:
    ghost = Version(Identity("m", 9, 0, "x"), Status.READY, "memory:/m/9")
    assert registry.of(ghost).artifacts is Artifacts.ABSENT


@pytest.mark.parametrize("alias", ["latest", "Latest", "v1", "V12", "", "a b", "x" * 256, "a/b"])
def test_an_alias_that_mlflow_refuses_is_refused(registry: FakeRegistry, alias: str) -> None:
    with pytest.raises(Terminal):
        registry.set_alias("m", alias, 1)


def test_calls_are_recorded_with_their_arguments(registry: FakeRegistry) -> None:
    registry.calls.clear()
    registry.read("m")
    registry.tag("m", 1, Call.WINS, None)
    assert list(registry.calls) == [("read", "m"), ("tag", "m", 1, Call.WINS)]


def test_it_is_fast_enough_to_be_forked_thousands_of_times(registry: FakeRegistry) -> None:
    crown = iter(range(1, 10_000))

    def cycle() -> None:
        state = registry.snapshot()
        seen = registry.read("m")
        registry.write_crown("m", Crown(n=next(crown)), Marks("m", crown=seen.crown))
        registry.versions("m", 0)
        registry.restore(state)

    assert _rate(cycle, times=2_000) * 5 > 20_000


def _rate(call: Callable[[], None], times: int) -> float:
    best = 0.0
    for _ in range(3):
        start = time.process_time()
        for _ in range(times):
            call()
        best = max(best, times / (time.process_time() - start))
    return best
