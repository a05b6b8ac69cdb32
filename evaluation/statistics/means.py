"""Means of row losses, and smooth functions of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from evaluation.statistics.bounds import beyond, bounds, jackknife, spread
from evaluation.statistics.values import Compare, Compared, Floats, RowLoss, Rows

Array = npt.NDArray[np.generic]


def mean_of(row_loss: RowLoss) -> Compare:
    """Student's paired t of row losses."""

    def compare(rows: Rows, confidence: float, seed: int) -> Compared:
        shares = rows.shares
        before, after = row_loss(rows.truth, rows.champion), row_loss(rows.truth, rows.challenger)
        each = after - before
        estimate = float(shares @ each)
        low, high = bounds(estimate, spread(shares * (each - estimate), shares, rows.groups), confidence)
        return Compared(float(shares @ before), float(shares @ after), low, high, "t")

    return compare


def root_mean_of(row_loss: RowLoss) -> Compare:
    """The square root of mean row losses, by the jackknife."""

    def roots(sums: Floats) -> Floats:
        """Of the champion and the challenger, from sums of weights and of both models' losses."""
        return np.asarray(np.sqrt(np.maximum(sums[1:], 0.0) / sums[0]))

    def compare(rows: Rows, confidence: float, seed: int) -> Compared:
        shares = rows.shares
        losses = [row_loss(rows.truth, said) for said in (rows.champion, rows.challenger)]
        parts = np.stack([shares, *(shares * each for each in losses)])
        return _compared(roots, parts, rows, confidence)

    return compare


def determination(rows: Rows, confidence: float, seed: int) -> Compared:
    """R²: one minus the squared error over that of the truth's own mean, by the jackknife."""

    def both(sums: Floats) -> Floats:
        around = sums[2] - sums[1] ** 2 / sums[0]
        return np.asarray(1.0 - sums[3:] / around)

    shares = rows.shares
    truth = rows.truth.astype(np.float64)
    centered = truth - shares @ truth
    losses = [squared(truth, said) for said in (rows.champion, rows.challenger)]
    parts = np.stack([shares, *(shares * each for each in (centered, centered**2, *losses))])
    return _compared(both, parts, rows, confidence)


def _compared(both: Callable[[Floats], Floats], parts: Floats, rows: Rows, confidence: float) -> Compared:
    """`both` takes (k, ...) sums and gives (2, ...), the champion's metric and the challenger's."""

    def difference(sums: Floats) -> Floats:
        champion, challenger = both(sums)
        return np.asarray(challenger - champion)

    champion, challenger = (float(each) for each in both(parts.sum(axis=1)))
    low, high = beyond(challenger - champion, *jackknife(difference, parts, rows.groups), confidence)
    return Compared(champion, challenger, low, high, "jackknife")


def squared(truth: Array, number: Array) -> Floats:
    """Squared errors."""
    return np.asarray((number.astype(np.float64) - truth.astype(np.float64)) ** 2)


def absolute(truth: Array, number: Array) -> Floats:
    """Absolute errors."""
    return np.asarray(np.abs(number.astype(np.float64) - truth.astype(np.float64)))


def absolute_share(truth: Array, number: Array) -> Floats:
    """As a share of the truth, which counts as the smallest double step where it is zero (as scikit-learn does)."""
    smallest = float(np.finfo(np.float64).eps)
    return np.asarray(absolute(truth, number) / np.maximum(np.abs(truth.astype(np.float64)), smallest))


def squared_log(truth: Array, number: Array) -> Floats:
    """Squared errors of log(1 + x)."""
    return np.asarray((np.log1p(number.astype(np.float64)) - np.log1p(truth.astype(np.float64))) ** 2)


def wrong(truth: Array, label: Array) -> Floats:
    """One where the label is not the truth."""
    return np.asarray(truth != label).astype(np.float64)


def log_loss(truth: Array, probability: Array) -> Floats:
    """Minus the logarithm of the true class's probability, at least the smallest step of its type (scikit-learn's)."""
    smallest = float(np.finfo(probability.dtype).eps)  # type: ignore[type-var]  # floats, as checked
    likely = np.clip(_of_truth(truth, probability), smallest, 1.0 - smallest)
    return np.asarray(-np.log(likely, dtype=np.float64))


def brier(truth: Array, probability: Array) -> Floats:
    """Squared error of the probability, summed over classes where there is one for each (scikit-learn's scale)."""
    number = probability.astype(np.float64)
    if number.ndim == 1:
        return np.asarray((number - truth.astype(np.float64)) ** 2)
    total: Floats = np.einsum("nk,nk->n", number, number) - 2.0 * _of_truth(truth, number) + 1.0
    return total / 2.0 if number.shape[1] == 2 else total  # noqa: PLR2004 - two classes count once


def _of_truth(truth: Array, probability: Array) -> npt.NDArray[np.floating]:
    if probability.ndim == 1:
        return np.where(truth == 1, probability, 1.0 - probability)  # type: ignore[operator]  # floats, as checked
    return np.asarray(probability[np.arange(len(truth)), truth.astype(np.intp)])
