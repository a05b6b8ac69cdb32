"""Rollout slots: never more holders than the limit, whoever races."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from watcher import slots
from watcher.errors import Conflict
from watcher.fakes.ledger import FakeLedger
from watcher.ledger.sqlite import SqliteLedger
from watcher.ports import Ledger


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return FakeLedger() if request.param == "memory" else SqliteLedger(tmp_path / "ledger.db")


def test_slots_are_given_up_to_the_limit_and_again_after_one_is_freed(ledger: Ledger) -> None:
    assert [slots.take(ledger, model, 2) for model in ("a", "b", "c")] == [True, True, False]
    slots.free(ledger, "a")
    assert slots.take(ledger, "c", 2)
    assert slots.holders(ledger) == ("b", "c")


def test_a_model_that_has_a_slot_keeps_one_however_often_it_asks(ledger: Ledger) -> None:
    assert all(slots.take(ledger, "a", 1) for _ in range(3))
    assert slots.holders(ledger) == ("a",)
    slots.free(ledger, "a")
    slots.free(ledger, "a")
    assert slots.holders(ledger) == ()


def test_a_lowered_limit_takes_no_slot_away(ledger: Ledger) -> None:
    for model in ("a", "b"):
        slots.take(ledger, model, 2)
    assert slots.take(ledger, "b", 1)
    assert not slots.take(ledger, "c", 1)


def test_a_limit_of_zero_gives_none(ledger: Ledger) -> None:
    assert not slots.take(ledger, "a", 0)


def test_of_many_racing_models_exactly_as_many_as_the_limit_win(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda number: slots.take(ledger, f"m{number}", 3), range(16)))
    assert sum(won) == 3
    assert {f"m{number}" for number, yes in enumerate(won) if yes} == set(slots.holders(ledger))


def test_racing_takes_and_frees_lose_nobodys_slot(ledger: Ledger) -> None:
    slots.take(ledger, "steady", 5)

    def come_and_go(model: str) -> None:
        for _ in range(10):
            if slots.take(ledger, model, 5):
                slots.free(ledger, model)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(come_and_go, ["a", "b", "c", "d"]))
    assert slots.holders(ledger) == ("steady",)


def test_a_race_that_is_lost_every_time_ends_as_a_conflict() -> None:
    ledger = FakeLedger()
    ledger.fail("save", Conflict("somebody was faster"), times=slots.TRIES)
    with pytest.raises(Conflict, match="slots"):
        slots.take(ledger, "a", 1)
    assert slots.holders(ledger) == ()


@pytest.mark.parametrize("body", [{}, {"held": "a"}, {"held": [1, None]}, {"held": {"a": 1}}])
def test_a_record_that_makes_no_sense_counts_as_empty(body: dict[str, object]) -> None:
    ledger = FakeLedger()
    ledger.save(slots.KEY, body, None)
    assert slots.take(ledger, "a", 1)
    assert slots.holders(ledger) == ("a",)
