"""`evaluate` and `backtest`: what would be, without touching what is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import SETTINGS, Desk


@pytest.fixture
def measured(desk: Desk) -> Desk:
    """v1 of `risk` is marked as champion with 0.80 on the holdout; v2 has 0.85."""
    desk.evaluator.truth.update({1: 0.80, 2: 0.85})
    for _ in range(2):
        desk.train(None, "risk")
    desk.registry.set_alias("risk", "champion", 1)
    return desk


def world(desk: Desk) -> Any:
    return desk.registry.snapshot(), desk.ledger.snapshot(), desk.deployer.snapshot()


def test_a_version_is_scored_beside_the_champion_and_both_are_shown(measured: Desk) -> None:
    ran = measured("evaluate", "risk", "2")
    assert ran.code == 0
    assert "risk v2 beside v1" in ran.out
    assert "roc_auc" in ran.out
    assert "+0.05" in ran.out
    assert "Look 1 on this holdout" in ran.out


def test_a_version_that_was_trained_on_the_holdout_is_shown_with_that_beside_its_numbers(measured: Desk) -> None:
    measured.evaluator.leaks[2] = "Its run logged this holdout as training data."
    told = " ".join(measured("evaluate", "risk", "2").out.split())
    assert "Its run logged this holdout as training data. So it is no evidence." in told


def test_a_version_that_is_not_scored_yet_does_not_wait_for_the_change_window_to_open(measured: Desk) -> None:
    shut = "    change_window: {days: mon, from: '00:00', to: '00:01', zone: UTC}\n"
    path = measured.path
    path.write_text(SETTINGS.replace("  signed:", f"{shut}  signed:"))
    assert "waits: The version is not scored" in " ".join(measured("explain", "risk", "2").out.split())
    measured("evaluate", "risk", "2")
    assert "waits until" in measured("explain", "risk", "2").out


def test_nothing_but_the_evaluation_is_touched(measured: Desk) -> None:
    before = world(measured)
    measured("evaluate", "risk", "2")
    assert world(measured) == before


def test_the_numbers_are_there_for_programs(measured: Desk) -> None:
    told = measured("--json", "evaluate", "risk", "2").json
    assert (told["version"], told["champion"], told["progress"]) == (2, 1, "done")
    score = told["comparison"]["scores"][0]
    assert (score["metric"], score["champion"], score["challenger"]) == ("roc_auc", 0.80, 0.85)


def test_explain_shows_what_was_scored_before_and_begins_nothing(measured: Desk) -> None:
    assert measured("--json", "explain", "risk", "2").json["evaluation"]["progress"] == "absent"
    assert measured.evaluator.starts == []
    measured("evaluate", "risk", "2")
    ran = measured("explain", "risk", "v2")
    assert "wins" in ran.out
    assert "+0.049 to +0.051" in ran.out


def test_a_version_that_cannot_be_scored_says_why(measured: Desk) -> None:
    measured.evaluator.broken[2] = "it ended by signal 11 (SIGSEGV)"
    ran = measured("evaluate", "risk", "2")
    assert ran.code == 1
    assert "risk v2 could not be scored: it ended by signal 11 (SIGSEGV)" in ran.out


def test_a_policy_that_evaluates_nothing_says_what_to_write(desk: Desk) -> None:
    desk.train()
    ran = desk("evaluate", "churn", "1")
    assert ran.code == 2
    assert "add `evaluate:` with data, target and metrics" in ran.err


def test_a_policy_is_replayed_over_every_version_in_order(desk: Desk) -> None:
    for auc in (0.80, 0.79, 0.85, 0.851, 0.9):
        desk.train(auc)
    before = world(desk)
    ran = desk("--json", "backtest", "churn").json
    told = [(entry["version"], entry["against"], entry["call"], entry["reason"]) for entry in ran["versions"]]
    assert told == [
        (1, None, "wins", "first_version"),
        (2, 1, "loses", "gain_too_small"),
        (3, 1, "wins", "beats_champion"),
        (4, 3, "loses", "gain_too_small"),
        (5, 3, "wins", "beats_champion"),
    ]
    assert (ran["champion"], ran["would_reign"]) == (None, 5)
    assert world(desk) == before


def test_a_policy_of_other_settings_is_tried_and_the_difference_is_told(desk: Desk) -> None:
    first = desk.crowned(0.80)
    desk.crowned(0.85)
    stricter = desk.path.with_name("stricter.yaml")
    stricter.write_text(SETTINGS.replace("min_gain: 0.002", "min_gain: 0.1"))
    ran = desk("backtest", "churn", "--policy", str(stricter))
    assert ran.code == 0
    assert f"v{first} would reign, and v2 does" in ran.out
    assert "differs" in ran.out
