"""How often a challenger that is better wins its first look, over how often the best test of one look finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.bench import Bench, Figure, Measured
from benchmarks.holdouts import ALIKE, Judged
from evaluation.statistics import Gain, gain, level, row_losses
from evaluation.statistics.ranks import placements

PAIRS, ROWS, CONFIDENCE = 2_000, 2_000, 0.95
BETTER: Mapping[str, tuple[float, ...]] = {
    "roc_auc": (0.1, 0.2, 0.3, 0.45, 0.6),
    "accuracy": (0.2, 0.4, 0.6, 0.8, 1.0),
    "log_loss": (0.1, 0.2, 0.3, 0.45, 0.6),
    "rmse": (0.02, 0.04, 0.06, 0.08, 0.12),
}
"""How much of its own noise the challenger lacks: from hardly found to nearly always found."""
REAL = 0.5
"""A gain counts as real where the best test finds it at least this often."""


@dataclass(frozen=True)
class Point:
    """One gain: the shares of samples in which it was found."""

    metric: str
    gained: float
    found: float
    found_at_once: float
    """With the whole budget on one look."""
    best: float

    @property
    def told(self) -> str:
        return f"{self.metric} {self.gained:+.4f}: {self.found:.0%} of {self.best:.0%}"


def run(bench: Bench) -> Measured:
    """One round; the smallest ratio over all gains that are real."""
    points = []
    for metric, steps in BETTER.items():
        for better in steps:
            points.append(_point(metric, better, bench.of(PAIRS, 20)))
            bench.say(f"{points[-1].told}, {points[-1].found_at_once:.0%} with one look")
    ratios = [(point.found / point.best, point) for point in points if point.best >= REAL]
    least, where = min(ratios, key=lambda ratio: ratio[0])
    told = f"least at {where.told}; won of found: {', '.join(point.told for point in points)}"
    return {"power": Figure(least, told, tuple(ratio for ratio, _ in ratios))}


def _point(metric: str, better: float, pairs: int) -> Point:
    chance = np.random.default_rng(int(better * 1_000))
    samples = [ALIKE[metric](chance, ROWS, better) for _ in range(pairs)]
    first = [_gain(metric, made, level(CONFIDENCE, 1)) for made in samples]
    at_once = [_gain(metric, made, CONFIDENCE) for made in samples]
    return Point(
        metric,
        gained=sum(each.estimate for each in first) / pairs,
        found=sum(each.low > 0.0 for each in first) / pairs,
        found_at_once=sum(each.low > 0.0 for each in at_once) / pairs,
        best=sum(BEST[metric](made) < 1.0 - CONFIDENCE for made in samples) / pairs,
    )


def _gain(metric: str, made: Judged, confidence: float) -> Gain:
    return gain(metric, made.truth, made.champion, made.challenger, confidence=confidence)


def _paired_t(metric: str) -> Callable[[Judged], float]:
    def p(made: Judged) -> float:
        before, after = (row_losses(metric, made.truth, said) for said in (made.champion, made.challenger))
        return float(stats.ttest_rel(before, after, alternative="greater").pvalue)

    return p


def _mcnemar(made: Judged) -> float:
    """The mid-p version, which is the most powerful that keeps its level on average."""
    champion, challenger = made.truth == made.champion, made.truth == made.challenger
    won, lost = int(np.count_nonzero(challenger & ~champion)), int(np.count_nonzero(champion & ~challenger))
    return float(stats.binom.sf(won, won + lost, 0.5) + stats.binom.pmf(won, won + lost, 0.5) / 2.0)


def _delong(made: Judged) -> float:
    """With the normal distribution, as it was published."""
    positive = np.asarray(made.truth == 1)
    weights = np.ones(len(positive))
    scores = (said.astype(np.float64) for said in (made.champion, made.challenger))
    before, after = (placements(said, positive, weights) for said in scores)
    each = after - before
    error = np.sqrt(sum(each[of].var(ddof=1) / len(each[of]) for of in (positive, ~positive)))
    return float(stats.norm.sf(each[positive].mean() / error))


BEST: Mapping[str, Callable[[Judged], float]] = {
    "roc_auc": _delong,
    "accuracy": _mcnemar,
    "log_loss": _paired_t("log_loss"),
    "rmse": _paired_t("mse"),
}
"""One-sided p of the best paired test there is for one look."""
