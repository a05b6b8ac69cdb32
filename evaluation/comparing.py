"""Two models' answers on the same rows become gains with intervals, over all rows and in each slice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from evaluation.answers import Answers
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
    import numpy as np

    from evaluation.statistics import metric

    table = kept.table()
    truth = table[job.target].to_numpy()
    groups = table[job.group].to_numpy() if job.group else None
    parts: list[tuple[str, str, Any, int]] = [("", "", None, 0), *_slices(job, table)]
    scores: list[dict[str, Any]] = []
    for name in job.metrics:
        needs = metric(name).needs
        mine = challenger.of(needs, truth)
        theirs = champion.of(needs, truth) if champion is not None else None
        classes = _classes(needs, mine, challenger, champion)
        for column, value, rows, least in parts:
            about: dict[str, Any] = {"metric": name, "column": column, "value": value}
            count = len(truth) if rows is None else int(np.count_nonzero(rows))
            if rows is not None and count < least:
                why = f"{count:,} rows, fewer than the {least:,} that it needs"
                scores.append(about | {"rows": count, "challenger": None, "why": why})
                continue
            part = [each if each is None or rows is None else each[rows] for each in (truth, theirs, mine, groups)]
            scores.append(about | {"rows": count} | _gain(name, *part, level=level, classes=classes))
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


def _slices(job: Job, table: Any) -> Iterator[tuple[str, str, Any, int]]:
    """Column, value, which rows, and the fewest there must be; the largest first."""
    import pyarrow.compute as pc

    for column, least in job.slices:
        counts = sorted(
            ((each["counts"], each["values"]) for each in pc.value_counts(table[column].combine_chunks()).to_pylist()),
            key=lambda pair: (-pair[0], str(pair[1])),
        )
        for _, value in counts[:MOST_SLICES]:
            rows = pc.is_null(table[column]) if value is None else pc.equal(table[column], value).fill_null(False)
            yield column, "(missing)" if value is None else str(value), rows.to_numpy(), least


def _classes(needs: str, mine: Array, challenger: Answers, champion: Answers | None) -> tuple[Any, ...] | None:
    """The order of the columns of probabilities, where there is more than one and the models tell it."""
    if needs != "probability" or mine.ndim == 1:
        return None
    known = challenger.classes or (champion.classes if champion else ())
    return known or None


def _changed(job: Job, truth: Array, challenger: Answers, champion: Answers | None) -> float | None:
    """Share of rows on which the two say something else: another class, or another number."""
    import numpy as np

    from evaluation.statistics import metric

    if champion is None:
        return None
    classes = any(metric(name).classes != "none" for name in job.metrics)
    sides = [side.of("label" if classes else "number", truth) for side in (challenger, champion)]
    return float(np.mean(sides[0] != sides[1]))
