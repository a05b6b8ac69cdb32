"""Metrics of order: the area under the ROC curve, and average precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.statistics.bounds import Spread, Tally, bounds, by_group, spread, unbiased
from evaluation.statistics.space import empty
from evaluation.statistics.values import Codes, Compared, Floats, Rows, parts

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


@dataclass(frozen=True, slots=True)
class _Class:
    """The scores of one class in order, and the weight that was reached up to each; None: they count once."""

    ordered: Floats
    reached: Floats | None

    @classmethod
    def of(cls, scores: Floats, weights: Floats | None) -> _Class:
        if weights is None:
            scores.sort()
            return cls(scores, None)
        order = np.argsort(scores)
        return cls(scores[order], np.concatenate([[0.0], np.cumsum(weights[order])]))

    def below(self, scores: Floats) -> Floats:
        """(m,) the weighted share of this class that is below each of (m,) scores; equal ones count half."""
        # Looked up in their own order, which takes a third of the time.
        order = np.argsort(scores)
        sought, found = scores[order], np.empty(len(scores))
        left, right = (np.searchsorted(self.ordered, sought, side) for side in ("left", "right"))
        if self.reached is None:
            found[order] = (left + right) / (2.0 * len(self.ordered))
        else:
            found[order] = (self.reached[left] + self.reached[right]) / (2.0 * self.reached[-1])
        return found


def placements(scores: Floats, positive: Mask, weights: Floats | None) -> Floats:
    """(n,) for each row, the weighted share of the other class that it is on the right side of; ties count half.

    The structural components V10 and V01 of DeLong, DeLong and Clarke-Pearson (1988, Biometrics 44, 837-845) in
    O(n log n), by one sort and midranks (Sun and Xu 2014, IEEE Signal Processing Letters 21, 1389-1393). Their
    weighted mean over either class is the area under the ROC curve.
    """
    found: Floats = empty(len(scores), np.float64)
    for own in (True, False):
        others = _Class.of(
            _where(scores, positive, side=not own), None if weights is None else weights[positive != own]
        )
        for part in parts(len(scores)):
            mine = positive[part] == own
            found[part][mine] = others.below(scores[part][mine])
    for part in parts(len(scores)):
        np.subtract(1.0, found[part], out=found[part], where=~positive[part])
    return found


def _where(scores: Floats, positive: Mask, *, side: bool) -> Floats:
    """The scores of the rows of one class, apart."""
    rows, at = sum(int(np.count_nonzero(positive[part] == side)) for part in parts(len(scores))), 0
    found: Floats = empty(rows, scores.dtype)
    for part in parts(len(scores)):
        some = scores[part][positive[part] == side]
        found[at : at + len(some)] = some
        at += len(some)
    return found


def area(rows: Rows, confidence: float, seed: int) -> Compared:
    """The area under the ROC curve, of the one class or the mean over each class against the rest, by DeLong."""
    if rows.classes == 2:  # noqa: PLR2004 - of two classes one says it all
        one = _one_area(rows, 1)
        scatter = two_sample(one.contributions, rows.weights, _is(rows, 1), rows.groups)
        return Compared(one.champion, one.challenger, *bounds(one.gained, scatter, confidence), "delong")
    champion, challenger, contributions = 0.0, 0.0, empty(rows.count, np.float64)
    contributions[:] = 0.0
    for number in range(rows.classes):
        one = _one_area(rows, number)
        champion, challenger = champion + one.champion / rows.classes, challenger + one.challenger / rows.classes
        for part in parts(rows.count):
            contributions[part] += one.contributions[part] / rows.classes
    scatter = _scatter(rows, contributions)
    return Compared(champion, challenger, *bounds(challenger - champion, scatter, confidence), "delong")


@dataclass(frozen=True, slots=True)
class _Area:
    champion: float
    challenger: float
    contributions: Floats
    """(n,) to challenger minus champion; those of either class add up to zero."""

    @property
    def gained(self) -> float:
        return self.challenger - self.champion


def _one_area(rows: Rows, number: int) -> _Area:
    positive = _is(rows, number)
    before, contributions = (
        placements(_scores(said, number), positive, rows.weights) for said in (rows.champion, rows.challenger)
    )
    totals = np.zeros(2)
    areas = np.zeros(2)
    for part, of_rows in _by_class(positive, rows.weights):
        totals += of_rows.sum(axis=1)
        areas += of_rows[0] @ before[part], of_rows[0] @ contributions[part]
    champion, challenger = (float(each) for each in areas / totals[0])
    contributions -= before
    contributions -= challenger - champion
    for part, of_rows in _by_class(positive, rows.weights):
        contributions[part] *= of_rows[0] / totals[0] + of_rows[1] / totals[1]
    return _Area(champion, challenger, contributions)


def _is(rows: Rows, number: int) -> Mask:
    """(n,) whether a row is of this class."""
    found: Mask = empty(rows.count, np.bool_)
    for part in parts(rows.count):
        found[part] = rows.truth[part] == number
    return found


def _by_class(positive: Mask, weights: Floats | None) -> Iterator[tuple[slice, Floats]]:
    """(2, m) weights of the rows that are positive, and of those that are not, zero elsewhere; a few rows at a time."""
    for part in parts(len(positive)):
        mine = positive[part]
        of_rows = 1.0 if weights is None else weights[part]
        yield part, np.stack([np.where(mine, of_rows, 0.0), np.where(mine, 0.0, of_rows)])


def _scores(prediction: npt.NDArray[np.generic], number: int) -> Floats:
    """Single precision as it is: the order is the same."""
    scores: Floats = prediction if prediction.ndim == 1 else prediction[:, number]  # type: ignore[assignment]
    return scores if scores.dtype.kind == "f" else scores.astype(np.float64)


def two_sample(contributions: Floats, weights: Floats | None, positive: Mask, groups: Codes | None) -> Spread:
    """The scatter of an estimate from two samples, the classes, whose contributions add up to zero in each.

    The variance is DeLong's, S10/m + S01/n. With groups it is that of Obuchowski (1997, Biometrics 53, 567-578), which
    sums each class over a group and adds what the classes of one group have in common. The degrees of freedom are
    Satterthwaite's, as Brunner and Munzel (2000, Biometrical Journal 42, 17-25) take them for one area: a class of few
    rows makes the bounds wide.
    """
    ones, zeros, joint, common = Tally(), Tally(), Tally(), 0.0
    blocks = (
        (np.stack([*np.where(sizes > 0.0, contributions[part], 0.0), *sizes]), None if groups is None else groups[part])
        for part, sizes in _by_class(positive, weights)
    )
    for of_ones, of_zeros, plus, minus in by_group(blocks, None if groups is None else int(groups.max()) + 1):
        ones.add(of_ones, plus)
        zeros.add(of_zeros, minus)
        joint.add(of_ones + of_zeros, plus + minus)
        common += 2.0 * float(of_ones @ of_zeros)
    first, second, both = ones.spread(), zeros.spread(), joint.spread()
    common *= unbiased(joint.held)
    apart = (first.variance + second.variance) ** 2
    degrees = first.variance**2 / first.freedom + second.variance**2 / second.freedom
    free = min(apart / degrees if degrees else np.inf, both.freedom)
    return Spread(max(first.variance + second.variance + common, 0.0), both.third, free)


def _scatter(rows: Rows, contributions: Floats) -> Spread:
    """Of (n,) contributions that add up to zero."""
    blocks = (
        (np.stack([contributions[part], shares]), block.groups)
        for part, (block, shares) in zip(parts(rows.count), rows.blocks(), strict=True)
    )
    return spread(blocks, rows.clusters)


def average_precision(rows: Rows, confidence: float, seed: int) -> Compared:
    """Average precision, the sum of precision over steps of recall, by the infinitesimal jackknife."""
    shares = np.concatenate([each for _, each in rows.blocks()])
    positive: Mask = np.asarray(rows.truth == 1)
    champion, before = _precision(_scores(rows.champion, 1), positive, shares)
    challenger, after = _precision(_scores(rows.challenger, 1), positive, shares)
    low, high = bounds(challenger - champion, _scatter(rows, after - before), confidence)
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
