"""How much better the challenger is than the champion on the same rows, with bounds that hold as often as they say.

Numbers in, numbers out: numpy and scipy, no I/O, no clock; chance only where rows are drawn again, from a given seed.

- `gain` compares two models by one metric and gives `Gain`, or raises `NotComparable` with one sentence.
- `level` is the confidence to ask of `gain` on the first, second, ... look at one holdout.
- `METRICS` holds what is known of each metric, by scikit-learn's names, MLflow's and the usual short ones; `metric`
  also finds those of installed packages.
- `resampled` makes one of your own comparable.
- `parts` are the blocks of rows that are worked on at once, so that little is held for each row; what is held lies
  where `lying_in` says.
- `row_losses` are the losses of one model's rows, where a metric is their mean; `losses_of` gives them by parts.

docs/statistics.md says what is promised, and how that was measured.
"""

from evaluation.statistics.bootstrap import resampled
from evaluation.statistics.comparing import gain, losses_of, row_losses
from evaluation.statistics.looks import level
from evaluation.statistics.metrics import METRICS, metric
from evaluation.statistics.space import empty, lying_in
from evaluation.statistics.values import BLOCK, Gain, Metric, Needs, NotComparable, distinct, is_whole, parts

__all__ = [
    "BLOCK", "METRICS", "Gain", "Metric", "Needs", "NotComparable",
    "distinct", "empty", "gain", "is_whole", "level", "losses_of", "lying_in", "metric", "parts",
    "resampled", "row_losses",
]  # fmt: skip
