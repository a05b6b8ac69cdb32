"""What comes from outside is checked and coded here, and nowhere after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import numpy.typing as npt

from evaluation.statistics.space import empty
from evaluation.statistics.values import Codes, Floats, Metric, Needs, NotComparable, Rows, distinct, is_whole, parts

FEWEST_ROWS = 30
"""Below this, no bound here keeps its promise."""
FEWEST_OF_A_CLASS = 5
"""Rows of a class, where a metric is made of classes that are compared with each other."""
_SUM = 1e-3
"""By how much probabilities of a row may miss one: models answer in single precision, and rounded."""

Array = npt.NDArray[np.generic]
_TRUTH = "The truth"


def paired(
    metric: Metric,
    truth: npt.ArrayLike,
    champion: npt.ArrayLike,
    challenger: npt.ArrayLike,
    groups: npt.ArrayLike | None,
    weights: npt.ArrayLike | None,
    classes: npt.ArrayLike | None,
) -> Rows:
    """Everything of the right shape and kind, finite and coded. Raises NotComparable otherwise."""
    if (there := len(np.atleast_1d(np.asarray(truth)))) < FEWEST_ROWS:
        raise NotComparable(f"There are {there} rows, and bounds need at least {FEWEST_ROWS}: use more rows.")
    predictions = {"The champion's prediction": champion, "The challenger's prediction": challenger}
    labels, (before, after), count = coded(metric, truth, predictions, classes)
    weighted = None if weights is None else _weights(weights, len(labels))
    if metric.scores:
        _enough_of_each(cast("Codes", labels), weighted, count)
    return Rows(labels, before, after, weighted, None if groups is None else _groups(groups, len(labels)), count)


def coded(
    metric: Metric, truth: npt.ArrayLike, predictions: Mapping[str, npt.ArrayLike], classes: npt.ArrayLike | None
) -> tuple[Array, list[Array], int]:
    """Truth and predictions, each by what it is called, coded as in `Rows`; and the number of classes."""
    actual = _plain(_TRUTH, truth)
    if actual.ndim != 1:
        raise NotComparable(f"The truth has {actual.ndim} dimensions: give one value for each row.")
    said = {name: _plain(name, values) for name, values in predictions.items()}
    for name, values in said.items():
        if len(values) != len(actual):
            raise NotComparable(f"{name} has {len(values)} rows and the truth {len(actual)}: compare the same rows.")
    if metric.needs is Needs.NUMBER:
        return _numbers(metric, actual, said)
    known = None if classes is None else _plain("The list of classes", classes)
    if metric.needs is Needs.LABEL:
        return _labels(metric, actual, said, known)
    return _probabilities(metric, actual, said, known)


def _plain(name: str, values: npt.ArrayLike) -> Array:
    """An array of numbers, booleans or text, finite. Objects that are all of one of these become so."""
    found: Array = np.asarray(values)
    if found.dtype == object:
        found = _of_objects(name, found)
    if found.dtype.kind not in "biufUT":
        raise NotComparable(f"{name} is {found.dtype}: it must be numbers, booleans or text.")
    if found.ndim == 0:
        raise NotComparable(f"{name} is a single value: give one for each row.")
    if found.dtype.kind == "f" and (rows := sum(_not_finite(found[part]) for part in parts(len(found)))):
        raise NotComparable(f"{name} is missing or not finite in {rows} of {len(found)} rows.")
    return found


def _not_finite(values: Array) -> int:
    finite = np.isfinite(values)
    return int(np.count_nonzero(~(finite if finite.ndim == 1 else finite.all(axis=tuple(range(1, finite.ndim))))))


def _of_objects(name: str, values: Array) -> Array:
    flat = values.ravel().tolist()
    if any(isinstance(value, list | tuple | np.ndarray) for value in flat):
        return _of_lists(name, flat)
    if missing := sum(map(_is_missing, flat)):
        raise NotComparable(f"{name} is missing in {missing} of {len(flat)} places.")
    kind = str if all(isinstance(value, str) for value in flat) else np.float64
    try:
        return values.astype(kind)
    except (TypeError, ValueError):
        raise NotComparable(f"{name} mixes kinds of values: it must be numbers, booleans or text.") from None


def _of_lists(name: str, rows: list[npt.ArrayLike]) -> Array:
    """A column of vectors, as Spark has them."""
    try:
        return _plain(name, np.stack([np.asarray(row) for row in rows]))
    except ValueError as error:
        if isinstance(error, NotComparable):
            raise
        raise NotComparable(f"{name} has rows of different lengths: give one number for each row and class.") from None


def _is_missing(value: object) -> bool:
    """None, or not equal to itself; pandas's NA will not even say that."""
    try:
        return value is None or bool(value != value)  # noqa: PLR0124 - that is the question
    except TypeError:
        return True


def _numbers(metric: Metric, truth: Array, said: Mapping[str, Array]) -> tuple[Array, list[Array], int]:
    arrays = {_TRUTH: truth} | dict(said)
    for name, values in arrays.items():
        _is_number(name, values, metric.name)
        if values.ndim != 1:
            raise NotComparable(f"{name} has {values.ndim} dimensions: {metric.name} needs one number for each row.")
    if metric.name in ("msle", "rmsle"):
        for name, values in arrays.items():
            if values.min(initial=0) < 0:
                raise NotComparable(f"{name} is negative in some rows, where {metric.name} has no meaning.")
    if metric.name == "r2" and len(truth) and (truth == truth[0]).all():
        raise NotComparable("The truth is the same in every row, where r2 has no meaning: choose another metric.")
    return truth, list(said.values()), 0


def _is_number(name: str, values: Array, metric: str) -> None:
    if values.dtype.kind not in "biuf":
        raise NotComparable(f"{name} is text, and {metric} needs numbers.")


def _labels(
    metric: Metric, truth: Array, said: Mapping[str, Array], classes: Array | None
) -> tuple[Array, list[Array], int]:
    for name, values in said.items():
        if values.ndim != 1:
            raise NotComparable(f"{name} has {values.ndim} dimensions: {metric.name} needs one label for each row.")
        if _is_text(values) != _is_text(truth):
            raise NotComparable(f"{name} and the truth are not both text or both numbers: use the same labels.")
        if values.dtype.kind == "f" and is_whole(truth) and not is_whole(values):
            raise NotComparable(f"{name} is not whole numbers as the truth is: {metric.name} needs labels.")
    every = distinct(truth, *said.values(), *_given(classes))
    _classes_suit(metric, truth, len(every))
    return _codes(every, truth), [_codes(every, values) for values in said.values()], len(every)


def _codes(every: Array, values: Array, places: Array | None = None) -> Codes:
    """(n,) the place of each value among all in order, or what `places` has there, in the smallest type that has it."""
    found: Codes = empty(len(values), np.min_scalar_type(len(every)))
    for part in parts(len(values)):
        place = np.searchsorted(every, values[part])
        found[part] = place if places is None else places[place]
    return found


def _given(classes: Array | None) -> list[Array]:
    return [] if classes is None else [classes]


def _is_text(values: Array) -> bool:
    return values.dtype.kind in "UT"


def _classes_suit(metric: Metric, truth: Array, count: int) -> None:
    """Enough classes, and no more than the metric takes."""
    if count > 2 and metric.classes == "two":  # noqa: PLR2004 - two classes
        instead = f": use {metric.name}_macro or {metric.name}_weighted" if metric.needs is Needs.LABEL else ""
        raise NotComparable(f"There are {count} classes, and {metric.name} compares two{instead}.")
    if metric.needs is Needs.LABEL and metric.row_loss:
        return
    if count < 2 or (metric.row_loss is None and (truth == truth[0]).all()):  # noqa: PLR2004 - nothing to tell apart
        raise NotComparable(f"The truth has one class only, {str(truth[0])[:80]!r}: {metric.name} needs rows of each.")


def _probabilities(
    metric: Metric, truth: Array, said: Mapping[str, Array], classes: Array | None
) -> tuple[Array, list[Array], int]:
    if classes is not None and _is_text(classes) != _is_text(truth):
        raise NotComparable("The list of classes and the truth are not both text or both numbers: use the same labels.")
    present = distinct(truth)
    order = present if classes is None else classes
    if strange := [str(label)[:80] for label in present if label not in order]:
        raise NotComparable(f"The truth has a class that is not in the list of classes: {strange[0]!r}.")
    _classes_suit(metric, truth, len(order))
    for name, values in said.items():
        _is_number(name, values, metric.name)
        if values.shape not in ((len(truth),), (len(truth), len(order))):
            raise NotComparable(
                f"{name} has the shape {values.shape}, and the classes are {len(order)}: "
                "give one probability for each row and class, with the list of classes where one has no rows."
            )
        if values.ndim == 1 and len(order) != 2:  # noqa: PLR2004 - one number tells two classes apart
            raise NotComparable(f"{name} is one number for each row, and there are {len(order)} classes.")
        if not metric.scores:
            _are_probabilities(name, values)
    by_label = np.argsort(order, kind="stable")
    codes = _codes(order[by_label], truth, by_label)
    floats: list[Array] = [_floats(values) for values in said.values()]
    if len(order) == 2:  # noqa: PLR2004 - one number says both
        floats = [values if values.ndim == 1 else values[:, 1] for values in floats]
    return codes, floats, len(order)


def _floats(values: Array) -> npt.NDArray[np.floating]:
    """Of either precision as they are."""
    if values.dtype.kind == "f":
        return values  # type: ignore[return-value]  # floats, as asked
    found = empty(len(values), np.float64, *values.shape[1:])
    for part in parts(len(values)):
        found[part] = values[part]
    return found


def _are_probabilities(name: str, values: Array) -> None:
    if values.min(initial=0) < 0 or values.max(initial=0) > 1:
        raise NotComparable(f"{name} is not between 0 and 1 everywhere: give probabilities.")
    if values.ndim > 1 and any(
        np.abs(values[part].sum(axis=1, dtype=np.float64) - 1.0).max() > _SUM for part in parts(len(values))
    ):
        raise NotComparable(f"{name} does not add up to 1 over the classes of each row: give probabilities.")


def _enough_of_each(labels: Codes, weights: Floats | None, classes: int) -> None:
    counts = np.zeros(classes, np.intp)
    for part in parts(len(labels)):
        some = labels[part] if weights is None else labels[part][weights[part] > 0.0]
        counts += np.bincount(some, minlength=classes)
    if counts.min() < FEWEST_OF_A_CLASS:
        raise NotComparable(
            f"A class has {counts.min()} rows, and bounds need at least {FEWEST_OF_A_CLASS} of each: use more rows."
        )


def _weights(weights: npt.ArrayLike, count: int) -> Floats:
    found = _plain("The weights", weights)
    _is_number("The weights", found, "a weight")
    if found.shape != (count,):
        raise NotComparable(f"The weights have the shape {found.shape}, and there are {count} rows: give one for each.")
    number = found.astype(np.float64)
    if number.min(initial=0.0) < 0.0:
        raise NotComparable("Some weights are negative: a row counts for nothing or more.")
    if np.count_nonzero(number) < FEWEST_ROWS:
        raise NotComparable(
            f"There are {np.count_nonzero(number)} rows with a weight, and bounds need at least {FEWEST_ROWS}."
        )
    return number


def _groups(groups: npt.ArrayLike, count: int) -> Codes:
    found = _plain("The group of a row", groups)
    if found.shape != (count,):
        raise NotComparable(f"The groups have the shape {found.shape}, and there are {count} rows: give one for each.")
    return _codes(distinct(found), found)
