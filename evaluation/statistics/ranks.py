"""Metrics of order: the area under the ROC curve, and average precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.statistics.bounds import Spread, bounds, by_group, cubes, freedom, spread
from evaluation.statistics.values import Codes, Compared, Floats, Rows

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Rows in the order of their scores, in runs of equal ones."""

    order: Codes
    starts: Codes
    """Where each run begins."""
    runs: Codes
    """(n,) the run of each row, in the order of the scores."""

    @classmethod
    def by(cls, scores: Floats) -> _Sorted:
        order = np.argsort(scores)
        ordered = scores[order]
        first = np.empty(len(scores), np.bool_)
        first[:1], first[1:] = True, ordered[1:] != ordered[:-1]
        return cls(order, np.flatnonzero(first), np.cumsum(first) - 1)

    def summed(self, values: Floats) -> Floats:
        """(runs,) sums of (n,) values."""
        return np.add.reduceat(values[self.order], self.starts)

    def back(self, of_runs: Floats) -> Floats:
        """(n,) in the order of the rows, from (runs,)."""
        found = np.empty(len(self.order))
        found[self.order] = of_runs[self.runs]
        return found


def placements(scores: Floats, positive: Mask, weights: Floats) -> Floats:
    """(n,) for each row, the weighted share of the other class that it is on the right side of; ties count half.

    The structural components V10 and V01 of DeLong, DeLong and Clarke-Pearson (1988, Biometrics 44, 837-845) in
    O(n log n), by one sort and midranks (Sun and Xu 2014, IEEE Signal Processing Letters 21, 1389-1393). Their
    weighted mean over either class is the area under the ROC curve.
    """
    ordered = _Sorted.by(scores)
    plus, minus = np.where(positive, weights, 0.0), np.where(positive, 0.0, weights)
    below, above = ordered.summed(minus), ordered.summed(plus)
    lost = (np.cumsum(below) - below / 2.0) / below.sum()
    won = 1.0 - (np.cumsum(above) - above / 2.0) / above.sum()
    return np.where(positive, ordered.back(lost), ordered.back(won))


def area(rows: Rows, confidence: float, seed: int) -> Compared:
    """The area under the ROC curve, of the one class or the mean over each class against the rest, by DeLong."""
    weights = np.ones(rows.count) if rows.weights is None else rows.weights
    parts = [_one_area(rows, weights, number) for number in ([1] if rows.classes == 2 else range(rows.classes))]  # noqa: PLR2004 - of two classes one says it all
    champion = float(np.mean([part.champion for part in parts]))
    challenger = float(np.mean([part.challenger for part in parts]))
    estimate = challenger - champion
    if len(parts) == 1:
        scatter = two_sample(parts[0].contributions, weights, rows.truth == 1, rows.groups)
    else:
        contributions = np.mean([part.contributions for part in parts], axis=0)
        scatter = spread(contributions, weights / weights.sum(), rows.groups)
    low, high = bounds(estimate, scatter, confidence)
    return Compared(champion, challenger, low, high, "delong")


@dataclass(frozen=True, slots=True)
class _Area:
    champion: float
    challenger: float
    contributions: Floats
    """(n,) to challenger minus champion; those of either class add up to zero."""


def _one_area(rows: Rows, weights: Floats, number: int) -> _Area:
    positive: Mask = np.asarray(rows.truth == number)
    shares = np.where(positive, weights / weights[positive].sum(), weights / weights[~positive].sum())
    before = placements(_scores(rows.champion, number), positive, weights)
    after = placements(_scores(rows.challenger, number), positive, weights)
    champion, challenger = float(shares[positive] @ before[positive]), float(shares[positive] @ after[positive])
    return _Area(champion, challenger, shares * (after - before - (challenger - champion)))


def _scores(prediction: npt.NDArray[np.generic], number: int) -> Floats:
    scores = prediction if prediction.ndim == 1 else prediction[:, number]
    return scores.astype(np.float64)


def two_sample(contributions: Floats, weights: Floats, positive: Mask, groups: Codes | None) -> Spread:
    """The scatter of an estimate from two samples, the classes, whose contributions add up to zero in each.

    The variance is DeLong's, S10/m + S01/n. With groups it is that of Obuchowski (1997, Biometrics 53, 567-578), which
    sums each class over a group and adds what the classes of one group have in common. The degrees of freedom are
    Satterthwaite's, as Brunner and Munzel (2000, Biometrical Journal 42, 17-25) take them for one area: a class of few
    rows makes the bounds wide.
    """
    ones = by_group(np.where(positive, contributions, 0.0), groups)
    zeros = by_group(np.where(positive, 0.0, contributions), groups)
    sizes = by_group(np.where(positive, weights, 0.0), groups), by_group(np.where(positive, 0.0, weights), groups)
    of_ones, of_zeros = (float(sums @ sums) * _unbiased(size) for sums, size in zip((ones, zeros), sizes, strict=True))
    whole = sizes[0] + sizes[1]
    common = 2.0 * float(ones @ zeros) * _unbiased(whole)
    joint = ones + zeros
    apart = (of_ones + of_zeros) ** 2
    degrees = of_ones**2 / freedom(sizes[0]) + of_zeros**2 / freedom(sizes[1])
    free = min(apart / degrees if degrees else np.inf, freedom(whole))
    return Spread(max(of_ones + of_zeros + common, 0.0), cubes(joint), free)


def _unbiased(sizes: Floats) -> float:
    held = np.count_nonzero(sizes)
    return held / (held - 1) if held > 1 else 1.0


def average_precision(rows: Rows, confidence: float, seed: int) -> Compared:
    """Average precision, the sum of precision over steps of recall, by the infinitesimal jackknife."""
    shares = rows.shares
    positive: Mask = np.asarray(rows.truth == 1)
    champion, before = _precision(_scores(rows.champion, 1), positive, shares)
    challenger, after = _precision(_scores(rows.challenger, 1), positive, shares)
    low, high = bounds(challenger - champion, spread(after - before, shares, rows.groups), confidence)
    return Compared(champion, challenger, low, high, "delta")


def _precision(scores: Floats, positive: Mask, shares: Floats) -> tuple[float, Floats]:
    """Average precision, and the (n,) contributions of its rows.

    With t and N the positives of a run and all rows from the highest run down to it, P = T/N and M all positives,
    AP = Σ tP/M. A row's weight w changes its own t, and T and N of its run and all below:
    ∂AP/∂w = (y(P - AP) + Σ t(y - P)/N over these runs)/M.
    """
    ordered = _Sorted.by(-scores)
    truth = positive.astype(np.float64)
    hits, whole = ordered.summed(shares * truth), ordered.summed(shares)
    reached = np.cumsum(whole)
    precision = np.divide(np.cumsum(hits), reached, out=np.zeros_like(reached), where=reached > 0.0)
    total = float(hits.sum())
    value = float(hits @ precision) / total
    later = np.divide(hits, reached, out=np.zeros_like(reached), where=reached > 0.0)
    gained, diluted = (np.cumsum(part[::-1])[::-1] for part in (later, later * precision))
    slope = truth * ordered.back(precision - value + gained) - ordered.back(diluted)
    return value, shares * slope / total


def precision_recall_area(truth: npt.NDArray[np.generic], scores: npt.NDArray[np.generic]) -> float:
    """The area under precision over recall with straight lines between, which MLflow logs as `precision_recall_auc`.

    Raises ValueError where no row is positive.
    """
    ordered = _Sorted.by(-scores.astype(np.float64))
    hits = np.cumsum(ordered.summed(truth.astype(np.float64)))
    if not hits[-1]:
        raise ValueError("no row is of the second class")
    precision = hits / np.cumsum(ordered.summed(np.ones(len(truth))))
    recall = hits / hits[-1]
    return float(np.trapezoid(np.concatenate([[1.0], precision]), np.concatenate([[0.0], recall])))
