"""Metrics of labels that are functions of the confusion matrix: precision, recall, F1 and their kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

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
        champion, before = _scored(score, _counts(rows, "champion"))
        challenger, after = _scored(score, _counts(rows, "challenger"))

        def contributions(block: Rows, shares: Floats) -> Floats:
            gained = _slopes(after, block, block.challenger) - _slopes(before, block, block.champion)
            return np.stack([shares * gained, shares])

        scatter = spread(((contributions(*each), each[0].groups) for each in rows.blocks()), rows.clusters)
        return Compared(champion, challenger, *bounds(challenger - champion, scatter, confidence), "delta")

    return compare


def _counts(rows: Rows, side: Literal["champion", "challenger"]) -> Floats:
    """(3 · classes,) shares of the rows: those that are each class and said to be it, that are it, said to be it."""
    found = np.zeros((3, rows.classes))
    for block, shares in rows.blocks():
        truth, said = block.truth.astype(np.intp), getattr(block, side).astype(np.intp)
        right = truth == said
        for counted, labels, of in ((0, truth[right], shares[right]), (1, truth, shares), (2, said, shares)):
            found[counted] += np.bincount(labels, of, rows.classes)
    return found.ravel()


def _scored(score: Score, counts: Floats) -> tuple[float, list[Floats]]:
    """The metric, and its derivatives by each of the three kinds of counts."""
    stepped = counts + 1j * _STEP * np.eye(len(counts))
    slopes = np.imag(score(*np.split(stepped, 3, axis=-1))) / _STEP
    return float(score(*np.split(counts, 3))), np.split(slopes, 3)


def _slopes(slopes: list[Floats], block: Rows, labels: npt.NDArray[np.generic]) -> Floats:
    """The metric's derivative by the weight of each row (m,)."""
    of_hit, of_truth, of_said = slopes
    truth, said = block.truth.astype(np.intp), labels.astype(np.intp)
    return of_truth[truth] + of_said[said] + np.where(truth == said, of_hit[truth], 0.0)


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
