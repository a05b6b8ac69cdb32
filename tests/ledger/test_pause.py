"""The pause: one record, one line in the history for each change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from watcher.errors import Conflict
from watcher.fakes.ledger import FakeLedger
from watcher.pause import KEY, TRIES, paused, set_paused
from watcher.ports import Line


def test_nothing_is_paused_at_first() -> None:
    assert not paused(FakeLedger())


def test_a_pause_and_its_end_are_remembered_and_written_down() -> None:
    ledger = FakeLedger()
    assert set_paused(ledger, "ana", on=True, now=10.0)
    assert paused(ledger)
    assert set_paused(ledger, "ben", on=False, now=20.0)
    assert not paused(ledger)
    assert ledger.history(newest_first=False) == [
        Line(10.0, KEY, "paused", data={"who": "ana"}),
        Line(20.0, KEY, "resumed", data={"who": "ben"}),
    ]


def test_a_repeat_changes_nothing_and_writes_no_line() -> None:
    ledger = FakeLedger()
    assert not set_paused(ledger, "ana", on=False, now=10.0)
    set_paused(ledger, "ana", on=True, now=10.0)
    assert not set_paused(ledger, "ben", on=True, now=20.0)
    assert len(ledger.history()) == 1


def test_of_several_who_pause_at_once_one_is_written_down() -> None:
    ledger = FakeLedger()
    with ThreadPoolExecutor(8) as threads:
        changed = list(threads.map(lambda number: set_paused(ledger, f"p{number}", on=True, now=1.0), range(8)))
    assert sum(changed) == 1
    assert len(ledger.history()) == 1


def test_a_race_that_is_lost_every_time_ends_as_a_conflict() -> None:
    ledger = FakeLedger()
    ledger.fail("save", Conflict("somebody was faster"), times=TRIES)
    with pytest.raises(Conflict, match="pause"):
        set_paused(ledger, "ana", on=True, now=1.0)
    assert not paused(ledger)
