"""Whether the holdout is data that the challenger was trained on, as far as its run tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from evaluation.data import Rows, local_path, look, source_of
from evaluation.errors import EvaluationFailed, Impossible
from evaluation.job import Job

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Hashes = npt.NDArray[np.uint64]

CONTEXT = "mlflow.data.context"
NOT_TRAINED_ON = frozenset({"eval", "evaluate", "evaluation", "test", "testing", "holdout", "validation", "valid"})
"""Contexts of data sets that a run looked at without learning from them; any other counts as training."""
MOST_TRAINING = 20_000_000
"""Rows of training data that are looked through."""
MOST_DIGESTED = 100_000
"""Rows of a holdout whose digest is made as MLflow makes it, which holds all of them in memory."""


@dataclass(frozen=True)
class Leak:
    """Why the holdout counts as training data; empty where it does not."""

    why: str = ""
    overlap: float | None = None
    """Share of the holdout's rows that are among the training rows, None where these were not read."""
    unknown: str = ""
    """What could not be checked, and why."""


def leak(job: Job, rows: Rows) -> Leak:
    """Compare the holdout with what the challenger's run logged as training data.

    The same source is a leak, whatever its rows; of other sources the rows are compared, by the columns that both have,
    and where they cannot be read MLflow's digest, which depends on the first 10,000 rows and their number.
    Raises EvaluationFailed where the holdout cannot be read.
    """
    run = job.challenger.run_id
    if not run:
        return Leak(unknown="The version has no run that could say what it was trained on.")
    logged = _trained_on(run, job.tracking_uri)
    if isinstance(logged, str):
        return Leak(unknown=logged)
    if not logged:
        return Leak(unknown="Its run logged no training data.")
    worst, unknown = Leak(overlap=None), ""
    digest = cache(partial(_digest, rows))
    for data_set in logged:
        found = _one(job, rows, data_set, digest)
        if found.why:
            return found
        unknown = unknown or found.unknown
        if found.overlap is not None and found.overlap >= (worst.overlap or 0.0):
            worst = found
    return Leak(overlap=worst.overlap, unknown=unknown)


def _trained_on(run: str, tracking_uri: str | None) -> list[Any] | str:
    """Data sets that a run logged as training data, or why that cannot be told."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        inputs = MlflowClient(tracking_uri=tracking_uri).get_run(run).inputs.dataset_inputs
    except MlflowException as error:
        return f"Its run cannot be read: {(str(error).splitlines() or [''])[0][:200]}"
    return [
        each.dataset
        for each in inputs
        if not NOT_TRAINED_ON & {tag.value.lower() for tag in each.tags if tag.key == CONTEXT}
    ]


def _one(job: Job, rows: Rows, data_set: Any, digest: Callable[[], str | None]) -> Leak:
    named = f"data set {str(data_set.name)[:100]!r}"
    source = source_of(data_set)
    if source is None:
        return _unread(digest, data_set, f"The {named} of its run is no file and no table that could be read again.")
    if _same_place(source.uri, rows.source.uri):
        return Leak(f"Its run logged this holdout as training data, as {named}.")
    try:
        training = look(source, job.tracking_uri, "The training data")
        overlap = _overlap(job, rows, training)
    except (EvaluationFailed, Impossible) as error:
        return _unread(digest, data_set, f"The {named} of its run cannot be read: {error}")
    if overlap is None:
        return Leak(unknown=f"The {named} of its run has other columns than the holdout, or more rows than are read.")
    if overlap > job.max_overlap:
        return Leak(f"{overlap:.2%} of the holdout's rows are in the {named} that it was trained on.", overlap)
    return Leak(overlap=overlap)


def _unread(digest: Callable[[], str | None], data_set: Any, why: str) -> Leak:
    """What is known of training data that cannot be read: whether MLflow's digest is the holdout's."""
    logged = str(data_set.digest)
    if logged and logged == digest():
        return Leak(f"Its run logged training data with this holdout's digest, {logged[:32]}.")
    return Leak(unknown=why)


def _digest(rows: Rows) -> str | None:
    """The holdout's, as MLflow makes it of a pandas frame; None of more rows than that is made of."""
    import mlflow.data
    import pyarrow as pa

    if rows.count() > MOST_DIGESTED:
        return None
    frame = pa.Table.from_batches(rows.batches(), rows.schema()).to_pandas()
    return str(mlflow.data.from_pandas(frame).digest)  # type: ignore[attr-defined]


def _same_place(one: str, other: str) -> bool:
    places = [local_path(uri) for uri in (one, other)]
    if places[0] is not None and places[1] is not None:
        return places[0].resolve() == places[1].resolve()
    return one.rstrip("/") == other.rstrip("/")


def _overlap(job: Job, rows: Rows, training: Rows) -> float | None:
    """Share of the holdout's rows whose like is among the training rows; None where that cannot be told.

    Alike are rows with the same values in every column that both have; a row is held as a hash of 64 bits, so that one
    in some 10^12 is taken for another's like.
    """
    import numpy as np

    from evaluation.statistics import empty, parts

    theirs = training.schema()
    columns = [field.name for field in rows.schema() if field.name in theirs.names]
    if job.target not in columns or len(columns) <= len(rows.schema().names) // 2:
        return None
    if training.count() > MOST_TRAINING:
        return None
    mine, at = empty(min(rows.count(), job.max_rows), np.uint64), 0
    for found in _hashes(rows.spread(job.max_rows), columns):
        mine[at : at + len(found)] = found
        at += len(found)
    if not at:
        return None
    mine.sort()
    seen = empty(len(mine), np.bool_)
    seen[:] = False
    for found in _hashes(training.batches(columns), columns):
        place = np.searchsorted(mine, found)
        place[place == len(mine)] = 0
        seen[place[mine[place] == found]] = True
    # The first of equal ones stands for all of them.
    return sum(np.count_nonzero(seen[np.searchsorted(mine, mine[part])]) for part in parts(len(mine))) / len(mine)


def _hashes(batches: Iterator[pa.RecordBatch], columns: list[str]) -> Iterator[Hashes]:
    """One number a row, the same for equal values whatever the widths of their types."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    for batch in batches:
        total = np.zeros(batch.num_rows, dtype=np.uint64)
        for name in columns:
            column = batch.column(name)
            if isinstance(column, pa.DictionaryArray):
                column = column.dictionary_decode()
            if (
                pa.types.is_integer(column.type)
                or pa.types.is_floating(column.type)
                or pa.types.is_boolean(column.type)
            ):
                # Adding zero makes one of the two zeros that floats have.
                values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) + 0.0
            else:
                values = np.asarray(column.to_pandas().astype(str), dtype=object)
            total = total * np.uint64(1_000_003) + pd.util.hash_array(values, categorize=False)
        yield total
