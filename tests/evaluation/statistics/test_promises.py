"""What is promised, on many holdouts: chance may explain a share, and no more than chance."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import false_wins, looks, power, statistics_cost
from benchmarks.bench import Bench, Measured
from benchmarks.holdouts import ALIKE, UNLIKE
from evaluation.statistics import gain, row_losses
from evaluation.statistics.proportions import lower

HOLDOUTS = 1_000
KEPT = 0.001
"""A promise counts as broken where a share is less likely than this under it."""


def is_kept(wrong: int, of: int, confidence: float) -> bool:
    return bool(stats.binomtest(wrong, of, 1.0 - confidence, alternative="greater").pvalue > KEPT)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("metric", ALIKE)
def test_equals_win_no_more_often_than_the_confidence_allows(metric: str, confidence: float) -> None:
    chance = np.random.default_rng(1)
    made = [ALIKE[metric](chance, 300) for _ in range(HOLDOUTS)]
    found = [gain(metric, one.truth, one.champion, one.challenger, confidence=confidence) for one in made]
    assert is_kept(sum(one.low > 0.0 for one in found), HOLDOUTS, confidence)
    assert is_kept(sum(one.high < 0.0 for one in found), HOLDOUTS, confidence)
    assert sum(one.estimate > 0.0 for one in found) > 0.4 * HOLDOUTS


@pytest.mark.parametrize("metric", ALIKE)
def test_rows_that_belong_together_keep_the_promise_with_their_groups_and_break_it_without(metric: str) -> None:
    """Forty customers with ten rows each: a model that errs on one row of a customer errs on the others."""
    chance = np.random.default_rng(2)
    groups = np.repeat(np.arange(40), 10)
    with_groups = without = 0
    for _ in range(HOLDOUTS):
        made = ALIKE[metric](chance, 40)
        rows = [np.repeat(each, 10) for each in (made.truth, made.champion, made.challenger)]
        if metric in ("roc_auc", "log_loss") and not 5 <= made.truth.sum() <= 35:
            continue
        with_groups += gain(metric, *rows, confidence=0.95, groups=groups).low > 0.0
        without += gain(metric, *rows, confidence=0.95).low > 0.0
    assert is_kept(with_groups, HOLDOUTS, 0.95)
    assert without > 0.15 * HOLDOUTS


def test_a_challenger_that_is_rarely_sure_and_wrong_wins_no_more_often_though_students_t_would_let_it() -> None:
    chance = np.random.default_rng(4)
    by_bound = by_t = 0
    for _ in range(HOLDOUTS):
        made = UNLIKE["log_loss"](chance, 500)
        by_bound += gain("log_loss", made.truth, made.champion, made.challenger, confidence=0.95).low > 0.0
        before, after = (row_losses("log_loss", made.truth, said) for said in (made.champion, made.challenger))
        by_t += stats.ttest_rel(before, after, alternative="greater").pvalue < 0.05
    assert is_kept(by_bound, HOLDOUTS, 0.95)
    assert not is_kept(by_t, HOLDOUTS, 0.95)


def test_a_challenger_that_is_rarely_far_off_wins_no_more_often_though_students_t_would_let_it() -> None:
    chance = np.random.default_rng(5)
    by_bound = by_t = 0
    for _ in range(HOLDOUTS):
        made = UNLIKE["rmse"](chance, 500)
        by_bound += gain("rmse", made.truth, made.champion, made.challenger, confidence=0.95).low > 0.0
        before, after = (row_losses("mse", made.truth, said) for said in (made.champion, made.challenger))
        by_t += stats.ttest_rel(before, after, alternative="greater").pvalue < 0.05
    assert is_kept(by_bound, HOLDOUTS, 0.95)
    assert not is_kept(by_t, HOLDOUTS, 0.95)


@pytest.mark.parametrize("error", [0.05, 0.03, 1e-3, 1e-5])
@pytest.mark.parametrize("expected", [4, 12, 40, 100])
def test_accuracy_keeps_its_level_exactly_over_all_tables(expected: int, error: float) -> None:
    """No chance: each number of discordant rows, as often as it comes by, and each way in which they may fall."""
    rejected = 0.0
    for discordant in range(1, expected * 3 + 12):
        tables = range(discordant // 2, discordant + 1)
        least = bisect.bisect_left(tables, True, key=lambda n: lower(n, discordant - n, 10_000, 1.0 - error) > 0.0)
        won = tables[least] if least < len(tables) else discordant + 1
        rejected += stats.poisson.pmf(discordant, expected) * stats.binom.sf(won - 1, discordant, 0.5)
    assert rejected <= error * 1.001


@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_a_bound_lies_above_the_truth_no_more_often_than_it_may(margin: float) -> None:
    """Beside zero too, where McNemar's test says nothing: the challenger is better by `margin` in accuracy."""
    chance = np.random.default_rng(3)
    above = 0
    for _ in range(HOLDOUTS):
        turn = chance.random(200)
        champion, challenger = turn > 0.1, (turn > 0.15) | (turn < 0.05 + margin)
        above += gain("accuracy", np.ones(200), champion * 1, challenger * 1, confidence=0.95).low > margin
    assert is_kept(above, HOLDOUTS, 0.95)


@pytest.mark.parametrize("run", [false_wins.run, looks.run, power.run, statistics_cost.run])
def test_the_benchmarks_run_in_a_small_world(run: Callable[[Bench], Measured], tmp_path: Path) -> None:
    measured = run(Bench(tmp_path, rounds=1, size=1e-9))
    assert measured
    assert all(np.isfinite(figure.value) for figure in measured.values())
