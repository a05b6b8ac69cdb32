"""Simulated holdouts, and models on them that are exactly as good as each other, or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Judged:
    """What champion and challenger said on the same rows."""

    truth: Array
    champion: Array
    challenger: Array


Sample = Callable[[np.random.Generator, int], Judged]
"""So many rows, and two models that are as good as each other."""


class World(Protocol):
    """So many rows; the challenger lacks the share `better` of its own noise. Without it, it is as good."""

    def __call__(self, chance: np.random.Generator, rows: int, better: float = 0.0) -> Judged: ...


SIGNAL, SHARED, OWN = 1.5, 0.6, 0.6
"""How far the classes, or the targets, are apart; noise that both models share, and noise of each one's own."""


def _scores(chance: np.random.Generator, rows: int, better: float) -> tuple[Floats, Floats, Floats]:
    """What there is to know of each row, and the two models' noisy sight of it."""
    known, shared, one, other = chance.normal(size=(4, rows))
    common = SIGNAL * known + SHARED * shared
    return SIGNAL * known, common + OWN * one, common + (1.0 - better) * OWN * other


def _logistic(number: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-number)))


def _probabilities(chance: np.random.Generator, rows: int, better: float = 0.0) -> Judged:
    known, champion, challenger = _scores(chance, rows, better)
    truth = (chance.random(rows) < _logistic(known)).astype(np.int64)
    return Judged(truth, _logistic(champion), _logistic(challenger))


def in_turn(chance: np.random.Generator, rows: int, challengers: int) -> Iterator[Judged]:
    """Challengers that are all as good as the champion, against the same one on the same holdout."""
    known, shared, own = chance.normal(size=(3, rows))
    truth = (chance.random(rows) < _logistic(SIGNAL * known)).astype(np.int64)
    common = SIGNAL * known + SHARED * shared
    champion = _logistic(common + OWN * own)
    for _ in range(challengers):
        yield Judged(truth, champion, _logistic(common + OWN * chance.normal(size=rows)))


def _labels(chance: np.random.Generator, rows: int, better: float = 0.0) -> Judged:
    made = _probabilities(chance, rows, better)
    return Judged(made.truth, _said(made.champion), _said(made.challenger))


def _said(probability: Array) -> Array:
    return np.asarray(probability > 0.5).astype(np.int64)  # type: ignore[operator]  # noqa: PLR2004 - floats; the usual threshold


def _numbers(chance: np.random.Generator, rows: int, better: float = 0.0) -> Judged:
    known, champion, challenger = _scores(chance, rows, better)
    return Judged(known, champion, challenger)


ALIKE: Mapping[str, World] = {
    "roc_auc": _probabilities,
    "accuracy": _labels,
    "log_loss": _probabilities,
    "rmse": _numbers,
}
"""Two models of one kind, by the metric that compares them: where `better` is 0, either might as well be the other."""


def _other_shape(chance: np.random.Generator, rows: int) -> Judged:
    """One row in ten is positive; both areas are Φ(1), and the challenger sees the positives twice as spread."""
    truth = (chance.random(rows) < 0.1).astype(np.int64)  # noqa: PLR2004 - one in ten
    noise = chance.normal(size=(2, rows))
    champion = noise[0] + math.sqrt(2.0) * truth
    challenger = np.where(truth == 1, 2.0 * noise[1] + math.sqrt(5.0), noise[1])
    return Judged(truth, champion, challenger)


def _hardly_wrong(chance: np.random.Generator, rows: int) -> Judged:
    """Each model is wrong on one row in a hundred, on rows of its own."""
    truth = (chance.random(rows) < 0.5).astype(np.int64)  # noqa: PLR2004 - a coin
    wrong = (chance.random((2, rows)) < 0.01).astype(np.int64)  # noqa: PLR2004 - one in a hundred
    return Judged(truth, truth ^ wrong[0], truth ^ wrong[1])


def _rarely_sure_and_wrong(chance: np.random.Generator, rows: int) -> Judged:
    """Mean loss is 1/4 for both: the challenger's is smaller, except on one row in fifty, where it is ln 100."""
    often, bad = 0.98, math.log(100.0)
    smaller = (0.25 - (1.0 - often) * bad) / often / 0.25
    truth = (chance.random(rows) < 0.5).astype(np.int64)  # noqa: PLR2004 - a coin
    champion = chance.exponential(0.25, rows)
    challenger = np.where(chance.random(rows) < often, smaller * champion, bad)
    return Judged(truth, _of_one(truth, champion), _of_one(truth, challenger))


def _of_one(truth: Array, loss: Floats) -> Floats:
    """The probability of class one that costs this loss."""
    likely = np.exp(-loss)
    return np.where(truth == 1, likely, 1.0 - likely)


def _rarely_far_off(chance: np.random.Generator, rows: int) -> Judged:
    """Mean squared error is 1 for both: the challenger's is smaller, except on one row in fifty, where it is 9."""
    often, far = 0.98, 3.0
    near = math.sqrt((1.0 - (1.0 - often) * far**2) / often)
    noise = chance.normal(size=(2, rows))
    scale = np.where(chance.random(rows) < often, near, far)
    return Judged(np.zeros(rows), noise[0], scale * noise[1])


UNLIKE: Mapping[str, Sample] = {
    "roc_auc": _other_shape,
    "accuracy": _hardly_wrong,
    "log_loss": _rarely_sure_and_wrong,
    "rmse": _rarely_far_off,
}
"""Models of different kinds whose metric is the same in the long run, where tests are known to err: a class that is
rare, errors that are few, a challenger that is a little better on most rows and rarely much worse."""
