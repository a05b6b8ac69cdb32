"""One-sided bounds of an estimate that is a sum of what its rows contribute.

A mean is such a sum exactly. A smooth function of means, and a rank statistic, are so up to terms that vanish faster:
the contribution of row i is its weight times the derivative of the estimate by that weight (the infinitesimal
jackknife: Jaeckel 1972; Efron 1982, "The jackknife, the bootstrap and other resampling plans", chapter 6; it is the
delta method, and agrees with the bootstrap to first order).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from evaluation.statistics.space import empty
from evaluation.statistics.values import Codes, Floats, NotComparable, parts

FEWEST_GROUPS = 10
"""Below this, a variance between groups is a guess."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How an estimate scatters around what it estimates."""

    variance: float
    third: float
    """Third cumulant: skewness times variance to the power of 1.5."""
    freedom: float
    """Degrees of freedom of the variance."""


Blocks = Iterable[tuple[Floats, Codes | None]]
"""(k, m) values of a few rows at a time, and the groups of these rows."""


class Tally:
    """Sums of powers of what rows, or groups, contribute, and of their shares."""

    def __init__(self) -> None:
        self.count = self.held = 0
        self._square = self._cube = self._shares = self._square_of_shares = 0.0
        self.least, self.most = math.inf, -math.inf

    def add(self, contributions: Floats, shares: Floats) -> None:
        """(m,) of some more of them."""
        self.count += len(shares)
        self.held += int(np.count_nonzero(shares))
        self._square += float(contributions @ contributions)
        self._cube += cubes(contributions)
        self._shares += float(shares.sum())
        self._square_of_shares += float(shares @ shares)
        self.least = min(self.least, float(contributions.min(initial=math.inf)))
        self.most = max(self.most, float(contributions.max(initial=-math.inf)))

    def spread(self) -> Spread:
        """The scatter of their sum, which is zero."""
        free = freedom(self._shares, self._square_of_shares)
        return Spread(self._square * unbiased(self.held), self._cube, free)


def spread(blocks: Blocks, clusters: int | None) -> Spread:
    """The scatter of a sum of contributions that add up to zero.

    `blocks` are (2, m): contributions, and the rows' shares, which are weights that add up to one.

    The variance is k/(k - 1) times the sum of squares over the k rows, or over the k sums of groups (the
    cluster-robust variance of Liang and Zeger 1986, Biometrika 73, 13-22, with its usual small-sample factor). The
    degrees of freedom are those of as many equal groups as weigh the same (Kish 1965: one over the sum of squared
    shares), less one: n - 1 where every row counts once.
    """
    tally = Tally()
    for contributions, shares in by_group(blocks, clusters):
        tally.add(contributions, shares)
    return tally.spread()


def cubes(sums: Floats) -> float:
    """The sum of third powers, which NumPy's own power takes ten times as long for."""
    return float((sums * sums) @ sums)


def unbiased(held: int) -> float:
    """What makes the mean square of so many the variance between them."""
    return held / (held - 1) if held > 1 else 1.0


def jackknife(of: Callable[[Floats], Floats], blocks: Callable[[], Blocks], clusters: int | None) -> Tally:
    """What rows contribute to a function of sums of (k, n) parts over them; their shares are the first of the parts.

    Each row, or group, is left out in turn (Quenouille and Tukey: Efron and Stein 1981, Annals of Statistics 9,
    586-596, who show that it errs towards too wide). Where few rows carry most of a sum this sees more than the
    derivative does. `of` takes (k, ...) sums and gives (...). Raises NotComparable where it is not finite without one.
    """

    def held() -> Iterator[Floats]:
        return (sums[:, sums[0] > 0.0] for sums in by_group(blocks(), clusters))

    total = sum(sums.sum(axis=1, keepdims=True) for sums in held())
    count, whole = 0, 0.0
    for sums in held():
        without = of(total - sums)
        if not np.isfinite(without).all():
            raise NotComparable("Without one of its rows or groups the metric has no meaning: use more rows.")
        count, whole = count + len(without), whole + float(without.sum())
    tally = Tally()
    for sums in held():
        tally.add((whole / count - of(total - sums)) * (count - 1) / count, sums[0])
    return tally


def by_group(blocks: Blocks, clusters: int | None) -> Iterator[Floats]:
    """The values themselves, a few rows at a time; where there are groups, the sums over a few of them at a time."""
    if clusters is None:
        yield from (values for values, _ in blocks)
        return
    sums: Floats | None = None
    for values, groups in blocks:
        if groups is None:
            continue
        if sums is None:
            sums = empty(clusters, np.float64, len(values))
            sums[:] = 0.0
        for of_groups, of_rows in zip(sums.T, values, strict=True):
            np.add.at(of_groups, groups, of_rows)
    if sums is not None:
        for part in parts(clusters):
            yield np.ascontiguousarray(sums[part].T)


def freedom(total: float, of_squares: float) -> float:
    """Degrees of freedom of a variance between parts whose sizes, and their squares, add up to this.

    Kish's effective number less one, at least 1.
    """
    return max(total * total / of_squares - 1.0, 1.0)


def bounds(estimate: float, scatter: Spread, confidence: float) -> tuple[float, float]:
    """Lower and upper one-sided bound: Student's, or Hall's where that is the more cautious.

    Student's t errs more often than it says where the differences are skewed: a challenger that is a little better
    on most rows and rarely much worse looks like a sure win until such a row comes by. Hall's transformation (1992,
    JRSS B 54, 221-228) corrects for skewness to the second order; t's quantile stands in it for the normal one.
    """
    if scatter.variance <= 0.0:
        return estimate, estimate
    quantile = float(special.stdtrit(scatter.freedom, confidence))
    error = math.sqrt(scatter.variance)
    skewness = scatter.third / scatter.variance / error
    down = max(quantile, _hall(quantile, skewness))
    up = max(quantile, -_hall(-quantile, skewness))
    return float(estimate - error * down), float(estimate + error * up)


def beyond(estimate: float, tally: Tally, confidence: float) -> tuple[float, float]:
    """Bounds as `bounds` gives them, with what no row has shown yet where one end of the rows weighs more.

    Where few rows carry most of a difference, as squared errors often do, no row says how bad the next may be, and
    what corrects for the skewness that was seen (Hall's transformation, the bootstrap-t) still errs too often. With
    this confidence no more than a share of 1 - (1 - confidence)^(1/n), about three in n at 95 %, lies beyond the worst
    of n rows (Clopper and Pearson 1934, Biometrika 26, 404-413, for none of n; the "rule of three" of Hanley and
    Lippman-Hand 1983, JAMA 249, 1743-1745). It is taken to be as bad as that row, and as much to be as good as the
    best: where both ends weigh the same nothing is added.
    """
    low, high = bounds(estimate, tally.spread(), confidence)
    unseen = tally.count * (1.0 - (1.0 - confidence) ** (1.0 / tally.count))
    uneven = unseen * (tally.least + tally.most)
    return low + min(uneven, 0.0), high + max(uneven, 0.0)


def _hall(quantile: float, skewness: float) -> float:
    """The inverse of g(t) = t + at²/3 + a²t³/27 + a/6, for a the skewness of the estimate."""
    if abs(skewness) < 1e-9:  # noqa: PLR2004 - below this, the cube root loses what it corrects
        return quantile
    return float(3.0 / skewness * (np.cbrt(1.0 + skewness * (quantile - skewness / 6.0)) - 1.0))


def enough_groups(clusters: int | None) -> None:
    """Raises NotComparable where the rows come from too few groups."""
    if clusters is not None and clusters < FEWEST_GROUPS:
        raise NotComparable(
            f"The rows come from {clusters} groups, and bounds need at least {FEWEST_GROUPS}: "
            "group by something finer, or leave the groups out if rows are independent."
        )
