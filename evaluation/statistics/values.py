"""What is asked and answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]


BLOCK = 131_072
"""Rows that are worked on at once: what is made of each row, and is not kept, takes memory for so many."""


class NotComparable(ValueError):
    """Two models cannot be compared on these rows by this metric: one sentence that says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better the challenger is than the champion. Everything is in units of the metric."""

    estimate: float
    """Challenger minus champion, turned so that positive is better for the challenger."""
    low: float
    """The gain is above this with the confidence that was asked for (one-sided)."""
    high: float
    """The gain is below this with the same confidence (one-sided)."""
    champion: float
    """The champion's metric, as it is: not turned."""
    challenger: float
    method: str
    """`t`, `mcnemar`, `delong`, `delta`, `jackknife` or `bootstrap`; `cluster ` before it where rows come in groups."""
    rows: int
    clusters: int | None
    """How many groups the rows came in; None: rows stand for themselves."""


class Needs(StrEnum):
    """The predictions that a metric is made of."""

    LABEL = "label"
    """One class for each row."""
    PROBABILITY = "probability"
    """One number for each row, of the later of two classes in sorted order; or one for each row and class. Metrics of
    order alone (`roc_auc`, `average_precision`) take any scores."""
    NUMBER = "number"
    """One number for each row."""


def parts(count: int) -> Iterator[slice]:
    """Where each block of so many rows lies."""
    return (slice(begin, begin + BLOCK) for begin in range(0, count, BLOCK))


def distinct(*arrays: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """All values that are there, in order."""
    found = [np.unique(each[part]) for each in arrays for part in parts(len(each))]
    return np.unique(np.concatenate(found)) if found else np.empty(0)


def is_whole(values: npt.NDArray[np.generic]) -> bool:
    """Whether all are whole numbers or booleans, whatever type they have."""
    return values.dtype.kind in "biu" or (
        values.dtype.kind == "f"
        and all(bool((values[part] == np.rint(values[part])).all()) for part in parts(len(values)))
    )


def widened(values: npt.NDArray[np.generic], classes: int) -> npt.NDArray[np.generic]:
    """Numbers in double precision, which they need not have where they are kept; codes as they are."""
    return values if classes else values.astype(np.float64, copy=False)


@dataclass(frozen=True, slots=True)
class Rows:
    """What is compared, checked and coded: all of n rows, all finite.

    Labels are codes, positions in `classes`; a probability is (n,), of the second of two classes, or (n, classes).
    Numbers have the type that they came in; `blocks` have them in double precision.
    """

    truth: npt.NDArray[np.generic]
    champion: npt.NDArray[np.generic]
    challenger: npt.NDArray[np.generic]
    weights: Floats | None
    """Positive or zero, not normalized. None: every row counts once."""
    groups: Codes | None
    """0 to the number of groups less one. None: rows are independent."""
    classes: int
    """How many classes there are; 0 where there are none."""

    @property
    def count(self) -> int:
        return len(self.truth)

    @property
    def same(self) -> bool:
        """Whether both models said the same on every row."""
        return all(np.array_equal(self.champion[part], self.challenger[part]) for part in parts(self.count))

    @property
    def clusters(self) -> int | None:
        """How many groups there are."""
        return None if self.groups is None else int(self.groups.max()) + 1

    def blocks(self) -> Iterator[tuple[Rows, Floats]]:
        """A few rows at a time, with their shares of all."""
        total = float(self.count) if self.weights is None else float(self.weights.sum())
        for part in parts(self.count):
            weights = None if self.weights is None else self.weights[part]
            yield (
                replace(
                    self,
                    truth=widened(self.truth[part], self.classes),
                    champion=widened(self.champion[part], self.classes),
                    challenger=widened(self.challenger[part], self.classes),
                    weights=weights,
                    groups=None if self.groups is None else self.groups[part],
                ),
                np.full(len(self.truth[part]), 1.0 / total) if weights is None else weights / total,
            )


@dataclass(frozen=True, slots=True)
class Compared:
    """Both models' metric, and one-sided bounds of challenger minus champion; nothing is turned yet."""

    champion: float
    challenger: float
    low: float
    high: float
    method: str


class Compare(Protocol):
    """Compares by one metric. `confidence` is that of each bound by itself."""

    def __call__(self, rows: Rows, confidence: float, seed: int) -> Compared: ...


RowLoss = Callable[[npt.NDArray[np.generic], npt.NDArray[np.generic]], Floats]
"""Coded truth (n,) and predictions to one number for each row."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What is known of a metric."""

    name: str
    """The name that its aliases stand for."""
    better: Literal["higher", "lower"]
    needs: Needs
    compare: Compare
    row_loss: RowLoss | None = None
    """Where the metric, or one minus it for `accuracy`, is the mean of what each row loses."""
    scores: bool = False
    """Whether any finite scores will do for probabilities."""
    classes: Literal["none", "two", "any"] = "none"
    """How many classes the truth may have: two only, any number from two, or it is a number."""
