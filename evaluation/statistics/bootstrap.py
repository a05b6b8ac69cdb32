"""Any other metric: rows are drawn again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from evaluation.statistics.bounds import Spread, bounds, freedom
from evaluation.statistics.values import Codes, Compare, Compared, NotComparable, Rows, widened

REPLICATES = 1_000
MOST_ROWS = 10_000
"""Rows of a replicate at most, or groups."""

Array = npt.NDArray[np.generic]
Measure = Callable[[Array, Array], float]
"""Coded truth and predictions to the metric; any exception or NaN where it is not defined on these rows."""


def resampled(measure: Measure) -> Compare:
    """A paired bootstrap: both models are measured on the same rows, drawn with replacement, groups as a whole.

    Of more rows than `MOST_ROWS` each replicate draws only so many, and the cumulants are scaled to all rows (the m
    out of n bootstrap: Bickel, Götze and van Zwet 1997, Statistica Sinica 7, 1-31), so that a million rows cost no
    more. Bounds come from the replicates' variance and skewness, not from their quantiles: a look far into the budget
    asks for a quantile beyond any affordable number of replicates.
    """

    def compare(rows: Rows, confidence: float, seed: int) -> Compared:
        if rows.weights is not None:
            raise NotComparable("This metric takes no weights: leave them out, or choose another metric.")
        truth, before, after = (widened(each, rows.classes) for each in (rows.truth, rows.champion, rows.challenger))
        champion, challenger = _measured(measure, truth, before), _measured(measure, truth, after)
        units = rows.clusters or rows.count
        drawn = min(units, MOST_ROWS)
        found = []
        for taken in _draws(rows, units, drawn, np.random.default_rng(seed)):
            try:
                gain = _number(measure, truth[taken], after[taken]) - _number(measure, truth[taken], before[taken])
                found.append(gain)
            except Exception:  # noqa: BLE001, S112 - as below; how many there were is told
                continue
        gains = np.asarray(found)
        gains = gains[np.isfinite(gains)]
        if len(gains) < 0.99 * REPLICATES:
            raise NotComparable(
                f"The metric is not defined on {REPLICATES - len(gains)} of {REPLICATES} samples drawn from these "
                "rows: use more rows."
            )
        scale, centered = drawn / units, gains - gains.mean()
        sizes = None if rows.groups is None else np.bincount(rows.groups).astype(np.float64)
        own = freedom(units, units) if sizes is None else freedom(rows.count, float(sizes @ sizes))
        free = 1.0 / (1.0 / own + 1.0 / len(gains))
        scatter = Spread(float(gains.var(ddof=1)) * scale, float(np.mean(centered**3)) * scale**2, free)
        low, high = bounds(challenger - champion, scatter, confidence)
        return Compared(champion, challenger, low, high, "bootstrap")

    return compare


def _number(measure: Measure, truth: Array, prediction: Array) -> float:
    return float(measure(_signed(truth), _signed(prediction)))


def _signed(values: Array) -> Array:
    """Codes of labels as integers that a measure can subtract; they are kept in a byte."""
    return values.astype(np.int64, copy=False) if values.dtype.kind == "u" else values


def _measured(measure: Measure, truth: Array, prediction: Array) -> float:
    try:
        value = _number(measure, truth, prediction)
    except Exception as error:  # a metric of a package's own may raise anything
        raise NotComparable(f"The metric is not defined on these rows: {error}") from error
    if not np.isfinite(value):
        raise NotComparable("The metric is not a number on these rows: use more rows.")
    return value


def _draws(rows: Rows, units: int, drawn: int, chance: np.random.Generator) -> Iterator[Codes]:
    """The rows of each replicate."""
    if rows.groups is None:
        for _ in range(REPLICATES):
            yield chance.integers(0, units, drawn)
        return
    order = np.argsort(rows.groups, kind="stable")
    sizes = np.bincount(rows.groups)
    starts = np.cumsum(sizes) - sizes
    for _ in range(REPLICATES):
        groups = chance.integers(0, units, drawn)
        lengths = sizes[groups]
        ends = np.cumsum(lengths)
        yield order[np.arange(ends[-1]) + np.repeat(starts[groups] - (ends - lengths), lengths)]
