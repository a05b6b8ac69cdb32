"""Fifty challengers in turn against one holdout: how often any of them wins falsely, with and without the budget."""

from __future__ import annotations

import numpy as np
from scipy import stats

from benchmarks.bench import Bench, Figure, Measured
from benchmarks.holdouts import in_turn
from evaluation.statistics import gain, level

HOLDOUTS, LOOKS, ROWS, CONFIDENCE = 2_000, 50, 1_000, 0.95
METRIC = "log_loss"


def run(bench: Bench) -> Measured:
    """All challengers are as good as the champion, so that each win is a false one."""
    holdouts = bench.of(HOLDOUTS, 3)
    found = np.array([_any_wins(seed) for seed in range(holdouts)])
    budgeted, unbudgeted, pointed = (int(count) for count in found.sum(axis=0))
    interval = stats.binomtest(budgeted, holdouts).proportion_ci(0.99)
    told = (
        f"{budgeted} of {holdouts:,} holdouts ({interval.low:.1%} to {interval.high:.1%}) of {ROWS:,} rows, {METRIC}; "
        f"without the budget {unbudgeted / holdouts:.0%}, by the point {pointed / holdouts:.0%}"
    )
    return {"looks": Figure(100.0 * budgeted / holdouts, told)}


def _any_wins(seed: int) -> tuple[bool, bool, bool]:
    """Whether any look is won: with the budget, without it, by the point."""
    budgeted = unbudgeted = pointed = False
    for look, made in enumerate(in_turn(np.random.default_rng(seed), ROWS, LOOKS), 1):
        one = gain(METRIC, made.truth, made.champion, made.challenger, confidence=CONFIDENCE)
        pointed |= one.estimate > 0.0
        unbudgeted |= one.low > 0.0
        if one.low > 0.0:  # the budget never lets through what one look would not
            confidence = level(CONFIDENCE, look)
            budgeted |= gain(METRIC, made.truth, made.champion, made.challenger, confidence=confidence).low > 0.0
    return budgeted, unbudgeted, pointed
