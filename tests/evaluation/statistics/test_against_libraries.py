"""What scipy, statsmodels and scikit-learn have, is what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar

from evaluation.statistics import METRICS, Gain, Needs, gain, row_losses
from evaluation.statistics.bounds import Spread, bounds
from evaluation.statistics.proportions import mid_p_lower, score_lower
from tests.evaluation.statistics.models import ANALYTIC, EVERY, LABELS, NUMBERS, Floats, pair

SKLEARN: dict[str, Callable[..., float]] = {
    "log_loss": metrics.log_loss,
    "brier": metrics.brier_score_loss,
    "roc_auc": metrics.roc_auc_score,
    "average_precision": metrics.average_precision_score,
    "precision_recall_auc": lambda truth, said: metrics.auc(*metrics.precision_recall_curve(truth, said)[1::-1]),
    "accuracy": metrics.accuracy_score,
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
    "f1": metrics.f1_score,
    "f1_macro": lambda truth, said: metrics.f1_score(truth, said, average="macro"),
    "f1_weighted": lambda truth, said: metrics.f1_score(truth, said, average="weighted"),
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "mcc": metrics.matthews_corrcoef,
    "cohen_kappa": metrics.cohen_kappa_score,
    "mse": metrics.mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "mape": metrics.mean_absolute_percentage_error,
    "msle": metrics.mean_squared_log_error,
    "rmse": metrics.root_mean_squared_error,
    "rmsle": metrics.root_mean_squared_log_error,
    "r2": metrics.r2_score,
    "median_absolute_error": metrics.median_absolute_error,
}


@pytest.mark.parametrize("metric", EVERY)
def test_each_model_has_the_metric_that_scikit_learn_computes(metric: str) -> None:
    made = pair(metric, 1, better=0.2)
    found = made.gain()
    assert found.champion == pytest.approx(SKLEARN[metric](made.truth, made.champion), abs=1e-12)
    assert found.challenger == pytest.approx(SKLEARN[metric](made.truth, made.challenger), abs=1e-12)
    sign = 1.0 if METRICS[metric].better == "higher" else -1.0
    assert found.estimate == pytest.approx(sign * (found.challenger - found.champion), abs=1e-15)


@pytest.mark.parametrize("metric", ANALYTIC)
def test_weights_are_scikit_learns_sample_weights(metric: str) -> None:
    made = pair(metric, 2)
    weights = np.random.default_rng(2).integers(0, 4, 400).astype(float)
    found = made.gain(weights=weights)
    by_hand: Any = SKLEARN[metric]
    if metric in ("f1_macro", "f1_weighted"):
        average = metric.removeprefix("f1_")
        expected = metrics.f1_score(made.truth, made.challenger, average=average, sample_weight=weights)
    else:
        expected = by_hand(made.truth, made.challenger, sample_weight=weights)
    assert found.challenger == pytest.approx(expected, abs=1e-12)


def test_every_metric_is_tried_here() -> None:
    assert {METRICS[name].name for name in EVERY} >= {
        known.name for known in METRICS.values() if not known.name.endswith(("_macro", "_weighted"))
    }


@pytest.mark.parametrize("metric", ["log_loss", "brier", "roc_auc"])
def test_three_classes_are_scikit_learns_three_classes(metric: str) -> None:
    chance = np.random.default_rng(3)
    truth = chance.integers(0, 3, 500)
    said = chance.dirichlet([1.0, 1.0, 1.0], (2, 500)) + 0.5 * np.eye(3)[truth]
    said /= said.sum(axis=2, keepdims=True)
    expected = {
        "log_loss": metrics.log_loss,
        "brier": metrics.brier_score_loss,
        "roc_auc": lambda truth, said: metrics.roc_auc_score(truth, said, multi_class="ovr"),
    }[metric](truth, said[1])
    assert gain(metric, truth, said[0], said[1], confidence=0.9).challenger == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["precision_macro", "recall_weighted", "f1_macro", "mcc", "balanced_accuracy"])
def test_labels_of_many_classes_are_scikit_learns(metric: str) -> None:
    chance = np.random.default_rng(4)
    truth = np.array(["ape", "bee", "cat", "dog"])[chance.integers(0, 4, 300)]
    said = np.where(chance.random(300) < 0.6, truth, "eel")
    name, _, average = metric.partition("_") if metric != "balanced_accuracy" else (metric, "", "")
    expected = {
        "precision": lambda: metrics.precision_score(truth, said, average=average, zero_division=0),
        "recall": lambda: metrics.recall_score(truth, said, average=average, zero_division=0),
        "f1": lambda: metrics.f1_score(truth, said, average=average, zero_division=0),
        "mcc": lambda: metrics.matthews_corrcoef(truth, said),
        "balanced_accuracy": lambda: metrics.recall_score(truth, said, average="macro", labels=np.unique(truth)),
    }[name]()
    assert gain(metric, truth, said, truth, confidence=0.9).champion == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("confidence", [0.6, 0.95, 0.99999])
def test_without_skewness_a_mean_has_the_bounds_of_scipys_paired_t(confidence: float) -> None:
    half = np.random.default_rng(5).normal(size=200)
    before, after = np.zeros(400), np.concatenate([0.1 + half, 0.1 - half])
    truth = np.full(400, 10.0)
    found = gain("mae", truth, truth - 5.0 - before, truth - 5.0 - after, confidence=confidence)
    tested = stats.ttest_rel(before, after)
    low = tested.confidence_interval(2.0 * confidence - 1.0).low
    assert found.low == pytest.approx(low, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_mean_is_never_surer_than_scipys_paired_t(seed: int) -> None:
    made = pair("log_loss", seed, rows=100)
    before, after = (row_losses("log_loss", made.truth, said) for said in (made.champion, made.challenger))
    interval = stats.ttest_rel(before, after).confidence_interval(0.9)
    found = made.gain(0.95)
    assert found.low <= interval.low + 1e-12
    assert found.high >= interval.high - 1e-12


def test_groups_give_statsmodels_cluster_robust_error() -> None:
    chance = np.random.default_rng(6)
    groups = chance.integers(0, 40, 400)
    losses = chance.normal(size=(2, 400)) + chance.normal(size=(2, 40))[:, groups]
    truth = np.full(400, 100.0)
    found = gain("mae", truth, truth + 50 + losses[0], truth + 50 + losses[1], confidence=0.95, groups=groups)
    fitted = OLS(losses[0] - losses[1], np.ones(400)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    sizes = np.bincount(groups)
    free = 400.0**2 / float(sizes @ sizes) - 1.0
    plain = Spread(float(fitted.bse[0]) ** 2, 0.0, free)
    low, high = bounds(float(fitted.params[0]), plain, 0.95)
    assert (found.method, found.clusters) == ("cluster t", 40)
    assert found.low <= low + 1e-12
    assert found.high >= high - 1e-12
    # Hall's part is the rest: small, where groups are nearly normal.
    assert (low - found.low) + (found.high - high) < 0.2 * float(fitted.bse[0])


@pytest.mark.parametrize(("won", "lost"), [(9, 3), (30, 20), (5, 0), (120, 90)])
def test_bounds_of_accuracy_turn_at_the_p_of_statsmodels_mcnemar(won: int, lost: int) -> None:
    table = np.array([[50, lost], [won, 50]])
    exact = float(mcnemar(table, exact=True).pvalue) / 2.0
    mid_p = exact - float(stats.binom.pmf(won, won + lost, 0.5)) / 2.0
    assert mid_p_lower(won, lost, 500, 1.0 - mid_p) == pytest.approx(0.0, abs=1e-12)
    score = float(mcnemar(table, exact=False, correction=False).pvalue) / 2.0
    assert score_lower(won, lost, 500, 1.0 - score) == pytest.approx(0.0, abs=1e-9)


def _narrow(found: Gain) -> float:
    """The distance of the bound that skewness does not widen: one error, where the confidence is that of one."""
    return min(found.high - found.estimate, found.estimate - found.low)


BY_ERROR = [name for name in ANALYTIC if name != "accuracy"]
"""The bounds of accuracy take no error for granted."""


@pytest.mark.parametrize("metric", BY_ERROR)
def test_the_error_is_that_of_leaving_out_each_row_in_turn(metric: str) -> None:
    made, rows = pair(metric, 7, rows=60, better=0.1), np.arange(60)
    left = [made.taken(rows[rows != row]) for row in rows]
    gains = np.array([SKLEARN[metric](p.truth, p.challenger) - SKLEARN[metric](p.truth, p.champion) for p in left])
    jackknife = np.sqrt(59.0 / 60.0 * np.sum((gains - gains.mean()) ** 2))
    found = made.gain(float(stats.norm.cdf(1.0)))
    assert _narrow(found) == pytest.approx(float(jackknife), rel=0.07)


@pytest.mark.long
@pytest.mark.parametrize("metric", BY_ERROR)
def test_the_error_is_that_of_a_bootstrap(metric: str) -> None:
    """Against scipy drawing the same rows again."""
    made = pair(metric, 7, rows=1000, better=0.1)

    def difference(rows: Floats) -> float:
        taken = made.taken(rows.astype(int))
        return SKLEARN[metric](taken.truth, taken.challenger) - SKLEARN[metric](taken.truth, taken.champion)

    drawn = stats.bootstrap(
        (np.arange(1000.0),), difference, vectorized=False, n_resamples=400, method="percentile", rng=8
    )
    found = made.gain(float(stats.norm.cdf(1.0)))
    assert _narrow(found) == pytest.approx(float(drawn.standard_error), rel=0.15)


def test_labels_and_numbers_need_what_they_say() -> None:
    assert {METRICS[name].needs for name in LABELS} == {Needs.LABEL}
    assert {METRICS[name].needs for name in NUMBERS} == {Needs.NUMBER}
