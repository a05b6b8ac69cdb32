"""From what a caller has, rows of any kind, to a gain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.statistics.bounds import enough_groups
from evaluation.statistics.metrics import metric as known_metric
from evaluation.statistics.rows import coded, paired
from evaluation.statistics.values import Floats, Gain, Metric, NotComparable, widened


def gain(  # noqa: PLR0913 - rows, and what is known of them
    metric: str | Metric,
    truth: npt.ArrayLike,
    champion: npt.ArrayLike,
    challenger: npt.ArrayLike,
    *,
    confidence: float,
    groups: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    classes: npt.ArrayLike | None = None,
    seed: int = 0,
) -> Gain:
    """How much better the challenger is than the champion on the same rows.

    `truth` is (n,). `champion` and `challenger` are what `Metric.needs` says: labels or numbers (n,); probabilities
    (n,) of the second of two classes in sorted order, or (n, classes) in the order of `classes`, by default the sorted
    classes of the truth. Labels are numbers, booleans or text. `groups` (n,) says which rows belong together and are
    not independent, by any label; `weights` (n,) how much a row counts. `seed` repeats what is drawn, where a metric
    needs that.

    Each bound alone holds with `confidence`; both together with twice the error. Two models that say the same on every
    row have a gain of exactly zero.

    Raises NotComparable for an unknown metric, or rows that this metric cannot compare; ValueError for a confidence
    outside (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"A confidence of {confidence:g} is not between 0 and 1: write, for example, 0.95.")
    known = known_metric(metric) if isinstance(metric, str) else metric
    rows = paired(known, truth, champion, challenger, groups, weights, classes)
    enough_groups(rows.clusters)
    with np.errstate(all="ignore"):  # what comes of it is looked at below
        found = known.compare(rows, confidence, seed)
    if not np.isfinite([found.champion, found.challenger, found.low, found.high]).all():
        raise NotComparable(f"{known.name} is not a finite number on these rows: values are too large or small.")
    low, high = (0.0, 0.0) if rows.same else (found.low, found.high)
    estimate = 0.0 if rows.same else found.challenger - found.champion
    if known.better == "lower":
        estimate, low, high = -estimate, -high, -low
    return Gain(
        estimate=estimate + 0.0,
        low=low + 0.0,
        high=high + 0.0,
        champion=found.champion,
        challenger=found.challenger,
        method=found.method if rows.groups is None else f"cluster {found.method}",
        rows=rows.count,
        clusters=rows.clusters,
    )


def row_losses(
    metric: str | Metric, truth: npt.ArrayLike, prediction: npt.ArrayLike, *, classes: npt.ArrayLike | None = None
) -> Floats:
    """(n,) what each row loses, by a metric that is the mean of that; for `accuracy`, one where the label is wrong.

    Raises NotComparable as `gain` does, and for a metric that is no mean of rows.
    """
    return losses_of(metric, truth, prediction, classes=classes)(slice(None))


def losses_of(
    metric: str | Metric, truth: npt.ArrayLike, prediction: npt.ArrayLike, *, classes: npt.ArrayLike | None = None
) -> Callable[[slice], Floats]:
    """What gives `row_losses` of some of the rows, after all of them were checked; raises as it does."""
    known = known_metric(metric) if isinstance(metric, str) else metric
    if known.row_loss is None:
        raise NotComparable(f"{known.name} is not a mean of row losses: choose another metric.")
    loss: Callable[..., Any] = known.row_loss
    labels, (said,), count = coded(known, truth, {"The prediction": prediction}, classes)
    return lambda part: np.asarray(loss(widened(labels[part], count), widened(said[part], count)), np.float64)
