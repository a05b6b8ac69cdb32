"""How often a challenger that is no better wins: by a bound, by the point, and by MLflow's own validation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.bench import Bench, Figure, Measured
from benchmarks.holdouts import ALIKE, UNLIKE, Sample
from evaluation.statistics import METRICS, Gain, gain

PAIRS, ROWS, CONFIDENCE = 10_000, (500, 10_000), 0.95
CHANCE = 0.99
"""Of the interval around a measured share."""
MIN_CHANGE = 0.002
"""What MLflow's validation asks for: with no change at all, an equal metric passes it."""


@dataclass(frozen=True)
class Cell:
    """One metric at one number of rows: the shares that won."""

    name: str
    by_bound: float
    by_point: float
    by_mlflow: float
    low: float
    """Of the interval around `by_bound`."""

    @property
    def told(self) -> str:
        return f"{self.name} {self.by_bound:.1%} ({self.by_point:.0%}, {self.by_mlflow:.0%})"


def run(bench: Bench) -> Measured:
    """One round, of many pairs; what chance explains is in the interval."""
    return {
        "false_wins": _figure(bench, ALIKE),
        "false_wins_unlike": _figure(bench, UNLIKE),
    }


def _figure(bench: Bench, worlds: Mapping[str, Sample]) -> Figure:
    cells = []
    for rows in ROWS:
        for metric, sample in worlds.items():
            cells.append(_cell(bench.of(PAIRS, 5), rows, metric, sample))
            bench.say(cells[-1].told)
    beyond = [cell for cell in cells if cell.low > 1.0 - CONFIDENCE]
    told = f"won (by the point, by MLflow's rule): {', '.join(cell.told for cell in cells)}"
    return Figure(float(len(beyond)), told, tuple(cell.by_bound for cell in cells))


def _cell(pairs: int, rows: int, metric: str, sample: Sample) -> Cell:
    chance = np.random.default_rng(rows)
    gains = []
    for _ in range(pairs):
        made = sample(chance, rows)
        gains.append(gain(metric, made.truth, made.champion, made.challenger, confidence=CONFIDENCE))
    won = sum(found.low > 0.0 for found in gains)
    return Cell(
        f"{metric} n={rows:,}",
        won / pairs,
        sum(found.estimate > 0.0 for found in gains) / pairs,
        sum(map(_Validation(metric).passes, gains)) / pairs,
        stats.binomtest(won, pairs).proportion_ci(CHANCE).low,
    )


class _Validation:
    """`mlflow.validate_evaluation_results`, asked whether the candidate beats the baseline."""

    def __init__(self, metric: str) -> None:
        from mlflow.models import MetricThreshold

        logging.getLogger("mlflow.models.evaluation").setLevel(logging.WARNING)
        higher = METRICS[metric].better == "higher"
        self._thresholds = {"metric": MetricThreshold(min_absolute_change=MIN_CHANGE, greater_is_better=higher)}

    def passes(self, found: Gain) -> bool:
        import mlflow
        from mlflow.models.evaluation import EvaluationResult
        from mlflow.models.evaluation.validation import ModelValidationFailedException

        challenger, champion = (
            EvaluationResult(metrics={"metric": value}, artifacts={}) for value in (found.challenger, found.champion)
        )
        try:
            mlflow.validate_evaluation_results(self._thresholds, challenger, champion)
        except ModelValidationFailedException:
            return False
        return True
