"""The metrics that are known, by all their names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from evaluation.statistics import confusion, means
from evaluation.statistics.bootstrap import resampled
from evaluation.statistics.means import mean_of, root_mean_of
from evaluation.statistics.own import own, points
from evaluation.statistics.proportions import accuracy
from evaluation.statistics.ranks import area, average_precision, precision_recall_area
from evaluation.statistics.values import Compare, Metric, Needs, NotComparable, RowLoss


def metric(name: str) -> Metric:
    """The metric of this name; one of an installed package may not take a name that is known here.

    Raises NotComparable where there is none, or where a package's cannot be used.
    """
    if found := METRICS.get(name) or own(name):
        return found
    if (plain := name.removeprefix("neg_")) in METRICS or (plain := plain.removesuffix("_score")) in METRICS:
        near = [plain]
    else:
        near = difflib.get_close_matches(name, [*METRICS, *points()], 1)
    remedy = f"did you mean {near[0]}?" if near else f"the known ones are {', '.join(sorted([*METRICS, *points()]))}."
    raise NotComparable(f"No metric is called {name!r}: {remedy}")


def _mean(name: str, loss: RowLoss, *aliases: str) -> list[tuple[str, Metric]]:
    return _named(Metric(name, "lower", Needs.NUMBER, mean_of(loss), loss), *aliases)


def _probabilities(name: str, loss: RowLoss, *aliases: str) -> list[tuple[str, Metric]]:
    known = Metric(name, "lower", Needs.PROBABILITY, mean_of(loss), loss, classes="any")
    return _named(known, *aliases)


def _numbers(
    name: str, better: Literal["higher", "lower"], compare: Compare, *aliases: str
) -> list[tuple[str, Metric]]:
    return _named(Metric(name, better, Needs.NUMBER, compare), *aliases)


def _labels(name: str, score: confusion.Score, *aliases: str) -> list[tuple[str, Metric]]:
    return _named(Metric(name, "higher", Needs.LABEL, confusion.of_counts(score), classes="any"), *aliases)


def _of_classes(name: str, of_each: confusion.Score) -> list[tuple[str, Metric]]:
    """Of the second of two classes, and averaged over any number."""
    two = Metric(name, "higher", Needs.LABEL, confusion.of_counts(confusion.of_second(of_each)), classes="two")
    return [
        *_named(two, f"{name}_score"),
        *_labels(f"{name}_macro", confusion.macro(of_each)),
        *_labels(f"{name}_weighted", confusion.weighted(of_each)),
    ]


def _ranks(name: str, compare: Compare, classes: Literal["two", "any"], *aliases: str) -> list[tuple[str, Metric]]:
    return _named(Metric(name, "higher", Needs.PROBABILITY, compare, scores=True, classes=classes), *aliases)


def _named(known: Metric, *aliases: str) -> list[tuple[str, Metric]]:
    return [(name, known) for name in (known.name, *aliases)]


def _median_error(truth: npt.NDArray[np.generic], number: npt.NDArray[np.generic]) -> float:
    return float(np.median(means.absolute(truth, number)))


METRICS: Mapping[str, Metric] = MappingProxyType(
    dict(
        [
            *_named(Metric("accuracy", "higher", Needs.LABEL, accuracy, means.wrong, classes="any"), "accuracy_score"),
            *_of_classes("precision", confusion.precisions),
            *_of_classes("recall", confusion.recalls),
            *_of_classes("f1", confusion.f1s),
            *_labels("balanced_accuracy", confusion.balanced, "balanced_accuracy_score"),
            *_labels("matthews_corrcoef", confusion.matthews, "mcc"),
            *_labels("cohen_kappa", confusion.kappa, "cohen_kappa_score"),
            *_probabilities("log_loss", means.log_loss),
            *_probabilities("brier", means.brier, "brier_score", "brier_score_loss"),
            *_ranks("roc_auc", area, "any", "roc_auc_score", "auc", "roc_auc_ovr"),
            *_ranks("average_precision", average_precision, "two", "average_precision_score"),
            *_ranks("precision_recall_auc", resampled(precision_recall_area), "two"),
            *_mean("mse", means.squared, "mean_squared_error"),
            *_mean("mae", means.absolute, "mean_absolute_error"),
            *_mean("mape", means.absolute_share, "mean_absolute_percentage_error"),
            *_mean("msle", means.squared_log, "mean_squared_log_error"),
            *_numbers("rmse", "lower", root_mean_of(means.squared), "root_mean_squared_error"),
            *_numbers("rmsle", "lower", root_mean_of(means.squared_log), "root_mean_squared_log_error"),
            *_numbers("r2", "higher", means.determination, "r2_score"),
            *_numbers("median_absolute_error", "lower", resampled(_median_error)),
        ]
    )
)
"""By scikit-learn's names, MLflow's, and the usual short ones; aliases stand for the same metric."""
