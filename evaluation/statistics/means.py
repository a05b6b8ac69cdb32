"""Means of row losses, and smooth functions of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from evaluation.statistics.bounds import Blocks, beyond, bounds, jackknife, spread
from evaluation.statistics.values import Compare, Compared, Floats, RowLoss, Rows

Array = npt.NDArray[np.generic]


def mean_of(row_loss: RowLoss) -> Compare:
    """Student's paired t of row losses."""

    def compare(rows: Rows, confidence: float, seed: int) -> Compared:
        champion, challenger = 0.0, 0.0
        for block, shares in rows.blocks():
            champion += float(shares @ row_loss(block.truth, block.champion))
            challenger += float(shares @ row_loss(block.truth, block.challenger))
        estimate = challenger - champion

        def around(block: Rows, shares: Floats) -> Floats:
            each = row_loss(block.truth, block.challenger) - row_loss(block.truth, block.champion)
            return np.stack([shares * (each - estimate), shares])

        scatter = spread(((around(*each), each[0].groups) for each in rows.blocks()), rows.clusters)
        return Compared(champion, challenger, *bounds(estimate, scatter, confidence), "t")

    return compare


def root_mean_of(row_loss: RowLoss) -> Compare:
    """The square root of mean row losses, by the jackknife."""

    def roots(sums: Floats) -> Floats:
        """Of the champion and the challenger, from sums of weights and of both models' losses."""
        return np.asarray(np.sqrt(np.maximum(sums[1:], 0.0) / sums[0]))

    def parts(block: Rows, shares: Floats) -> Floats:
        losses = [row_loss(block.truth, said) for said in (block.champion, block.challenger)]
        return np.stack([shares, *(shares * each for each in losses)])

    return lambda rows, confidence, _: _compared(roots, parts, rows, confidence)


def determination(rows: Rows, confidence: float, seed: int) -> Compared:
    """R²: one minus the squared error over that of the truth's own mean, by the jackknife."""
    mean = sum(float(shares @ block.truth.astype(np.float64)) for block, shares in rows.blocks())

    def both(sums: Floats) -> Floats:
        around = sums[2] - sums[1] ** 2 / sums[0]
        return np.asarray(1.0 - sums[3:] / around)

    def parts(block: Rows, shares: Floats) -> Floats:
        centered = block.truth.astype(np.float64) - mean
        losses = [squared(block.truth, said) for said in (block.champion, block.challenger)]
        return np.stack([shares, *(shares * each for each in (centered, centered**2, *losses))])

    return _compared(both, parts, rows, confidence)


def _compared(
    both: Callable[[Floats], Floats], parts: Callable[[Rows, Floats], Floats], rows: Rows, confidence: float
) -> Compared:
    """`both` takes (k, ...) sums of `parts` and gives (2, ...), the champion's metric and the challenger's."""

    def difference(sums: Floats) -> Floats:
        champion, challenger = both(sums)
        return np.asarray(challenger - champion)

    def blocks() -> Blocks:
        return ((parts(*each), each[0].groups) for each in rows.blocks())

    champion, challenger = (float(each) for each in both(sum(values.sum(axis=1) for values, _ in blocks())))
    low, high = beyond(challenger - champion, jackknife(difference, blocks, rows.clusters), confidence)
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
