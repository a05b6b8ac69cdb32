"""Accuracy: the difference of two proportions on the same rows."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, special

from evaluation.statistics.means import mean_of, wrong
from evaluation.statistics.values import Compared, Rows

_BESIDE = 1e-12


def accuracy(rows: Rows, confidence: float, seed: int) -> Compared:
    """McNemar's comparison, as bounds of the difference; with weights or groups, the t of the rows that are right."""
    if rows.weights is not None or rows.groups is not None:
        errors = mean_of(wrong)(rows, confidence, seed)
        return Compared(1.0 - errors.champion, 1.0 - errors.challenger, -errors.high, -errors.low, errors.method)
    won, lost, both, count = 0, 0, 0, rows.count
    for block, _ in rows.blocks():
        champion, challenger = block.truth == block.champion, block.truth == block.challenger
        won += int(np.count_nonzero(challenger & ~champion))
        lost += int(np.count_nonzero(champion & ~challenger))
        both += int(np.count_nonzero(champion & challenger))
    low, high = lower(won, lost, count, confidence), -lower(lost, won, count, confidence)
    return Compared((both + lost) / count, (both + won) / count, low, high, "mcnemar")


def lower(won: int, lost: int, count: int, confidence: float) -> float:
    """Lower bound of (won - lost)/count: the more cautious of the score bound and the mid-p one.

    The score test exceeds its level where few rows are discordant and the level is small. The mid-p test keeps it, on
    average over how many rows happen to be discordant, and wastes little of it, other than the exact conditional test
    (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91).
    """
    return min(score_lower(won, lost, count, confidence), mid_p_lower(won, lost, count, confidence))


def score_lower(won: int, lost: int, count: int, confidence: float) -> float:
    """Tango's score bound (1998, Statistics in Medicine 17, 891-908) of a difference of paired proportions.

    The difference at which the score test just rejects: its variance is that of the most likely table which has that
    difference. At zero it is McNemar's test without correction.
    """
    quantile = float(special.ndtri(confidence))

    def beyond(difference: float) -> float:
        a = 2.0 * count
        b = -won - lost + (2.0 * count - won + lost) * difference
        c = -lost * difference * (1.0 - difference)
        likely = (math.sqrt(max(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)
        variance = count * (2.0 * likely + difference * (1.0 - difference))
        return won - lost - count * difference - quantile * math.sqrt(max(variance, 0.0))

    estimate = (won - lost) / count
    # At the estimate itself there is a second root where the variance is zero: no row, or every row, is discordant.
    least, most = (-1.0, estimate - _BESIDE) if quantile >= 0.0 else (estimate + _BESIDE, 1.0)
    if beyond(least) <= 0.0:
        return least
    return most if beyond(most) >= 0.0 else float(optimize.brentq(beyond, least, most, xtol=1e-15, rtol=1e-14))


def mid_p_lower(won: int, lost: int, count: int, confidence: float) -> float:
    """The mid-p bound of the share won among the discordant rows, as a difference of proportions.

    Clopper and Pearson's bound with half the probability of what was seen (Berry and Armitage 1995, The Statistician
    44, 417-423). It is above zero exactly where McNemar's mid-p test rejects.
    """
    discordant = won + lost
    if not discordant:
        return 0.0

    def short(share: float) -> float:
        """By how much the mid-p of winning so many, or more, falls short of the error that is allowed."""
        as_many = float(special.betainc(won, lost + 1, share)) if won else 1.0
        more = float(special.betainc(won + 1, lost, share)) if lost else 0.0
        return (as_many + more) / 2.0 - (1.0 - confidence)

    if short(0.0) >= 0.0:
        share = 0.0
    elif short(1.0) <= 0.0:
        share = 1.0
    else:
        share = float(optimize.brentq(short, 0.0, 1.0, xtol=1e-15, rtol=1e-14))
    return (2.0 * share - 1.0) * discordant / count
