"""Metrics of labels that are functions of the confusion matrix: precision, recall, F1 and their kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.statistics.bounds import bounds, spread
from evaluation.statistics.values import Compare, Compared, Floats, Rows

Counts = npt.NDArray[np.inexact[Any]]
"""(..., classes): shares of rows."""
Score = Callable[[Counts, Counts, Counts], Counts]
"""Of each class: rows that are it and are said to be it, rows that are it, rows that are said to be it; (...,) back."""

_STEP = 1e-30
"""Of the complex step: no difference is taken, so that it may be as small as it likes."""


def of_counts(score: Score) -> Compare:
    """A comparison by a smooth function of the counts, by the delta method.

    The derivatives are exact to rounding: those of a complex step (Squire and Trapp 1998, SIAM Review 40, 110-112).
    """

    def compare(rows: Rows, confidence: float, seed: int) -> Compared:
        shares = rows.shares
        truth = rows.truth.astype(np.intp)
        champion, before = _scored(score, truth, rows.champion.astype(np.intp), shares, rows.classes)
        challenger, after = _scored(score, truth, rows.challenger.astype(np.intp), shares, rows.classes)
        low, high = bounds(challenger - champion, spread(shares * (after - before), shares, rows.groups), confidence)
        return Compared(champion, challenger, low, high, "delta")

    return compare


def _scored(
    score: Score, truth: npt.NDArray[np.intp], said: npt.NDArray[np.intp], shares: Floats, classes: int
) -> tuple[float, Floats]:
    """The metric, and its derivative by the weight of each row (n,)."""
    right = truth == said
    counts = np.concatenate(
        [
            np.bincount(truth[right], shares[right], classes),
            np.bincount(truth, shares, classes),
            np.bincount(said, shares, classes),
        ]
    )
    stepped = counts + 1j * _STEP * np.eye(len(counts))
    slopes = np.imag(score(*np.split(stepped, 3, axis=-1))) / _STEP
    of_hit, of_truth, of_said = np.split(slopes, 3)
    value = float(score(*np.split(counts, 3)))
    return value, of_truth[truth] + of_said[said] + np.where(right, of_hit[truth], 0.0)


def _ratio(part: Counts, whole: Counts) -> Counts:
    """Zero where there is nothing to divide by, as scikit-learn has it."""
    there = whole.real > 0.0
    return np.where(there, part / np.where(there, whole, 1.0), 0.0)


def precisions(hit: Counts, truth: Counts, said: Counts) -> Counts:
    """Of each class: how much of what is said to be it is it."""
    return _ratio(hit, said)


def recalls(hit: Counts, truth: Counts, said: Counts) -> Counts:
    """Of each class: how much of it is said to be it."""
    return _ratio(hit, truth)


def f1s(hit: Counts, truth: Counts, said: Counts) -> Counts:
    """Of each class: the harmonic mean of both."""
    return _ratio(2.0 * hit, truth + said)


def of_second(of_each: Score) -> Score:
    """Of the second of two classes."""
    return lambda hit, truth, said: of_each(hit, truth, said)[..., 1]


def macro(of_each: Score) -> Score:
    """The mean over classes that are there or are said to be."""

    def score(hit: Counts, truth: Counts, said: Counts) -> Counts:
        there = (truth + said).real > 0.0
        return np.asarray(of_each(hit, truth, said).sum(axis=-1) / there.sum(axis=-1))

    return score


def weighted(of_each: Score) -> Score:
    """The mean over classes, each by how often it is true."""

    def score(hit: Counts, truth: Counts, said: Counts) -> Counts:
        return np.asarray((of_each(hit, truth, said) * truth).sum(axis=-1) / truth.sum(axis=-1))

    return score


def balanced(hit: Counts, truth: Counts, said: Counts) -> Counts:
    """Mean recall over the classes that are there."""
    return np.asarray(recalls(hit, truth, said).sum(axis=-1) / (truth.real > 0.0).sum(axis=-1))


def matthews(hit: Counts, truth: Counts, said: Counts) -> Counts:
    """The correlation of truth and label (Gorodkin 2004, Computational Biology and Chemistry 28, 367-374)."""
    whole = truth.sum(axis=-1)
    together = hit.sum(axis=-1) * whole - (truth * said).sum(axis=-1)
    apart = (whole**2 - (truth**2).sum(axis=-1)) * (whole**2 - (said**2).sum(axis=-1))
    return _ratio(together, np.sqrt(apart))


def kappa(hit: Counts, truth: Counts, said: Counts) -> Counts:
    """Cohen's kappa: agreement beyond chance."""
    whole = truth.sum(axis=-1)
    chance = (truth * said).sum(axis=-1) / whole
    return _ratio(hit.sum(axis=-1) - chance, whole - chance)
