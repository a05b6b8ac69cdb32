"""Two models' answers on the same rows become gains with intervals, over all rows and in each slice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from evaluation.answers import Answers
from evaluation.columns import Columns
from evaluation.job import Job
from evaluation.rows import Kept

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from evaluation.statistics import Gain

    Array = npt.NDArray[np.generic]

MOST_SLICES = 200
"""Values of one column that are looked at by themselves."""


def compared(
    job: Job, kept: Kept, challenger: Answers, champion: Answers | None, level: float
) -> tuple[list[dict[str, Any]], float | None]:
    """One entry for each metric over all rows and in each slice, and the share of rows answered differently."""
    from evaluation.statistics import metric

    columns = kept.columns()
    truth = columns[job.target]
    groups = columns[job.group] if job.group else None
    slices = [("", "", None, len(truth), 0), *_slices(job, columns)]
    scores: list[dict[str, Any]] = []
    for name in job.metrics:
        needs = metric(name).needs
        mine = challenger.of(needs, truth)
        theirs = champion.of(needs, truth) if champion is not None else None
        classes = _classes(needs, mine, challenger, champion)
        for column, value, rows, count, least in slices:
            about: dict[str, Any] = {"metric": name, "column": column, "value": value}
            if count < least:
                why = f"{count:,} rows, fewer than the {least:,} that it needs"
                scores.append(about | {"rows": count, "challenger": None, "why": why})
                continue
            some = [_taken(columns, each, rows, count) for each in (truth, theirs, mine, groups)]
            scores.append(about | {"rows": count} | _gain(name, *some, level=level, classes=classes))
    return scores, _changed(job, truth, challenger, champion)


def _gain(
    name: str,
    truth: Any,
    champion: Any,
    challenger: Any,
    groups: Any,
    *,
    level: float,
    classes: tuple[Any, ...] | None,
) -> dict[str, Any]:
    from evaluation.statistics import NotComparable, gain

    before = challenger if champion is None else champion
    try:
        found: Gain = gain(name, truth, before, challenger, confidence=level, groups=groups, classes=classes)
    except NotComparable as error:
        return {"challenger": None, "why": str(error).rstrip(".")}
    if champion is None:
        return {"challenger": found.challenger, "method": "", "clusters": found.clusters}
    return {
        "challenger": found.challenger,
        "champion": found.champion,
        "gain": found.estimate,
        "low": found.low,
        "high": found.high,
        "method": found.method,
        "clusters": found.clusters,
    }


def _slices(job: Job, columns: Columns) -> Iterator[tuple[str, str, tuple[Array, int], int, int]]:
    """Column, value, the codes of all rows and its own, its rows, and the fewest there must be; the largest first."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    for column, least in job.slices:
        values = pa.chunked_array([part.unique() for part in columns.batches(column)]).unique()
        codes, at, counts = columns.space(columns.rows, np.dtype(np.int32)), 0, np.zeros(len(values), np.intp)
        for part in columns.batches(column):
            found = pc.index_in(part, value_set=values).to_numpy()
            codes[at : at + len(part)] = found
            counts, at = counts + np.bincount(found, minlength=len(values)), at + len(part)
        known = sorted(enumerate(values.to_pylist()), key=lambda pair: (-counts[pair[0]], str(pair[1])))
        for code, value in known[:MOST_SLICES]:
            yield column, "(missing)" if value is None else str(value), (codes, code), int(counts[code]), least


def _taken(columns: Columns, values: Array | None, rows: tuple[Array, int] | None, count: int) -> Array | None:
    """The rows of a slice, of (n,) or (n, classes)."""
    from evaluation.statistics import parts

    if values is None or rows is None:
        return values
    codes, code = rows
    found, at = columns.space(count, values.dtype, *values.shape[1:]), 0
    for part in parts(len(values)):
        some = values[part][codes[part] == code]
        found[at : at + len(some)] = some
        at += len(some)
    return found


def _classes(needs: str, mine: Array, challenger: Answers, champion: Answers | None) -> tuple[Any, ...] | None:
    """The order of the columns of probabilities, where there is more than one and the models tell it."""
    if needs != "probability" or mine.ndim == 1:
        return None
    known = challenger.classes or (champion.classes if champion else ())
    return known or None


def _changed(job: Job, truth: Array, challenger: Answers, champion: Answers | None) -> float | None:
    """Share of rows on which the two say something else: another class, or another number."""
    import numpy as np

    from evaluation.statistics import metric, parts

    if champion is None:
        return None
    classes = any(metric(name).classes != "none" for name in job.metrics)
    sides = [side.of("label" if classes else "number", truth) for side in (challenger, champion)]
    return sum(np.count_nonzero(sides[0][part] != sides[1][part]) for part in parts(len(truth))) / len(truth)
