"""Made-up holdouts, and two models on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from evaluation.statistics import Gain, gain

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]

BINARY = ("log_loss", "brier", "roc_auc", "average_precision", "precision_recall_auc")
LABELS = ("accuracy", "precision", "recall", "f1", "f1_macro", "f1_weighted", "balanced_accuracy", "mcc", "cohen_kappa")
NUMBERS = ("mse", "mae", "mape", "msle", "rmse", "rmsle", "r2", "median_absolute_error")
EVERY = (*BINARY, *LABELS, *NUMBERS)
RESAMPLED = ("precision_recall_auc", "median_absolute_error")
ANALYTIC = tuple(name for name in EVERY if name not in RESAMPLED)


@dataclass(frozen=True)
class Pair:
    """What two models said on the same rows."""

    metric: str
    truth: Array
    champion: Array
    challenger: Array

    def gain(self, confidence: float = 0.95, **more: Any) -> Gain:
        return gain(self.metric, self.truth, self.champion, self.challenger, confidence=confidence, **more)

    def swapped(self) -> Pair:
        return Pair(self.metric, self.truth, self.challenger, self.champion)

    def taken(self, rows: Array) -> Pair:
        return Pair(self.metric, self.truth[rows], self.champion[rows], self.challenger[rows])


def pair(metric: str, seed: int, rows: int = 400, better: float = 0.0) -> Pair:
    """Two models that are as good as each other, or the challenger by `better` of a noise less."""
    chance = np.random.default_rng(seed)
    signal, common = chance.normal(size=(2, rows))
    own = chance.normal(size=(2, rows))
    champion = signal + 0.7 * common + 0.7 * own[0]
    challenger = signal + (1.0 - better) * (0.7 * common + 0.7 * own[1])
    if metric in NUMBERS:
        return Pair(metric, np.exp(signal), np.exp(champion / 2.0), np.exp(challenger / 2.0))
    truth = (chance.random(rows) < _logistic(2.0 * signal)).astype(int)
    if metric in LABELS:
        return Pair(metric, truth, (champion > 0.0).astype(int), (challenger > 0.0).astype(int))
    return Pair(metric, truth, _logistic(champion), _logistic(challenger))


def _logistic(number: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-number)))


SEEDS = st.integers(0, 2**32 - 1)
