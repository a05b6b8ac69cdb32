"""The ledger in memory keeps the contract; its faults and snapshots do what the simulation needs."""

from __future__ import annotations

import pytest

from tests.contract.ledger_suite import LedgerSuite
from watcher.errors import Transient
from watcher.fakes.ledger import Call, FakeLedger
from watcher.ports import Line


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


class TestFakeLedger(LedgerSuite):
    pass


def test_a_fault_before_the_effect_leaves_nothing_behind(ledger: FakeLedger) -> None:
    ledger.fail("save", Transient("down"))
    with pytest.raises(Transient):
        ledger.save("m", {}, None, [Line(1.0, "m", "seen")])
    assert ledger.load("m") is None
    assert ledger.history() == []


def test_a_fault_after_the_effect_leaves_all_of_it_behind(ledger: FakeLedger) -> None:
    ledger.fail("save", Transient("answer lost"), when="after")
    with pytest.raises(Transient):
        ledger.save("m", {"n": 1}, None, [Line(1.0, "m", "seen")])
    stored = ledger.load("m")
    assert stored is not None
    assert stored.body == {"n": 1}
    assert len(ledger.history()) == 1


def test_faults_strike_as_often_as_ordered_and_only_their_verb_and_key(ledger: FakeLedger) -> None:
    ledger.fail("load", Transient("down"), times=2, key="m")
    assert ledger.load("other") is None
    assert ledger.due(1.0) == []
    for _ in range(2):
        with pytest.raises(Transient):
            ledger.load("m")
    assert ledger.load("m") is None


def test_restoring_a_snapshot_brings_back_records_revisions_and_lines(ledger: FakeLedger) -> None:
    revision = ledger.save("m", {"n": 1}, None, [Line(1.0, "m", "seen")], due=1.0)
    before = ledger.snapshot()
    ledger.save("m", {"n": 2}, revision, [Line(2.0, "m", "seen")])
    ledger.save("other", {}, None)
    after = ledger.snapshot()
    ledger.restore(before)
    stored = ledger.load("m")
    assert stored is not None
    assert (stored.body, stored.revision) == ({"n": 1}, revision)
    assert ledger.load("other") is None
    assert (ledger.due(1.0), len(ledger.history())) == (["m"], 1)
    ledger.restore(after)
    assert len(ledger.history()) == 2


def test_calls_are_recorded_in_order(ledger: FakeLedger) -> None:
    ledger.load("m")
    ledger.save("m", {}, None)
    ledger.history(model="m")
    ledger.due(1.0)
    assert ledger.calls == [Call("load", "m"), Call("save", "m"), Call("history", "m"), Call("due")]
