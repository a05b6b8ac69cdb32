"""What a model answered, checked and read as what the metrics need: labels, probabilities, numbers."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.columns import Columns
from evaluation.errors import ModelFailed
from evaluation.job import Job
from evaluation.rows import Kept

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from evaluation.columns import Take

    Array = npt.NDArray[np.generic]

TWO = 2
HALF = 0.5


@dataclass(frozen=True)
class Answers:
    """Columns `output.0` ... as the model answered, `proba.0` ... as it is sure of each of `classes`.

    Where both are there, probabilities are the model's own; where only one was wanted, the other is made of it.
    """

    columns: Columns
    classes: tuple[Any, ...] = ()
    _read: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)
    """By need: reading them takes long, and several metrics need the same."""

    def _of(self, name: str) -> list[Array]:
        return [self.columns[column] for column in self.columns.names if column.startswith(f"{name}.")]

    def label(self, truth: Array) -> Array:
        """(n,) one class a row. A probability of the second of two classes becomes the class that is likelier."""
        import numpy as np

        from evaluation.statistics import distinct, is_whole

        output, count = self._of("output") or self._of("proba"), self.columns.rows
        if len(output) > 1:
            order = np.asarray(self.classes) if len(self.classes) == len(output) else distinct(truth)
            if len(order) != len(output):
                raise ModelFailed(f"it answers with {len(output)} columns, and a label is one")

            def likeliest(part: slice) -> Array:
                return np.asarray(order[np.argmax(np.column_stack([each[part] for each in output]), axis=1)])

            return self.columns.made(count, order.dtype, likeliest)
        found, known = output[0], distinct(truth)
        chances = len(known) == TWO and found.dtype.kind == "f" and not is_whole(found)
        if chances and found.min() >= 0.0 and found.max() <= 1.0:
            return self.columns.made(count, known.dtype, lambda part: known[(found[part] > HALF).astype(int)])  # type: ignore[operator]
        return found

    def probability(self) -> Array:
        """(n,) of the second of two classes, or (n, classes)."""
        import numpy as np

        found = self._of("proba") or self._of("output")
        if len(found) == 1:
            return found[0]
        kind = np.result_type(*found)

        def beside(part: slice) -> Array:
            return np.column_stack([each[part] for each in found])

        return self.columns.made(self.columns.rows, kind, beside, len(found))

    def number(self) -> Array:
        """(n,) one number a row."""
        output = self._of("output")
        if len(output) != 1:
            raise ModelFailed(f"it answers with {len(output)} columns where one number a row is needed")
        return output[0]

    def of(self, needs: str, truth: Array) -> Array:
        """What a metric needs: `label`, `probability` or `number`; `truth` is that of these rows."""
        if needs not in self._read:
            self._read[needs] = self._made(needs, truth)
        return self._read[needs]

    def _made(self, needs: str, truth: Array) -> Array:
        if needs == "label":
            return self.label(truth)
        return self.probability() if needs == "probability" else self.number()


def checked(job: Job, kept: Kept, raw: Path, table: Path) -> Answers:
    """The answers, whole and finite, written to `table` with what each row loses, where a metric is a mean of that.

    Raises ModelFailed with what is wrong.
    """
    spare = raw.with_suffix(".parquet")
    classes = _whole(kept, raw, spare)
    _with_losses(job, kept.columns()[job.target], Answers(Columns(spare), classes), spare, table)
    return Answers(Columns(table), classes)


def _whole(kept: Kept, raw: Path, table: Path) -> tuple[Any, ...]:
    """Write the answers as a table; the model's classes.

    Raises ModelFailed with what is wrong with them, OSError where the table cannot be written: no model's fault.
    """
    from pyarrow import parquet

    rows, missing = 0, Counter[str]()
    schema, classes = _head(raw)
    with parquet.ParquetWriter(table, schema, compression="none", use_dictionary=False) as writer:
        for batch in _batches(raw):
            rows += batch.num_rows
            missing.update({name: _missing(batch[name]) for name in batch.schema.names})
            writer.write_batch(batch)
    if rows != kept.rows:
        raise ModelFailed(f"it answered {rows:,} rows of {kept.rows:,}")
    for name, count in missing.items():
        if count:
            what = "probability" if name.startswith("proba") else "answer"
            raise ModelFailed(f"its {what} is missing or not finite in {count:,} of {rows:,} rows")
    return classes


def _head(raw: Path) -> tuple[pa.Schema, tuple[Any, ...]]:
    """The columns of the answers, and the model's classes."""
    with _read(raw) as stream:
        return stream.schema, tuple(json.loads((stream.schema.metadata or {}).get(b"classes", b"[]")))


def _batches(raw: Path) -> Iterator[pa.RecordBatch]:
    with _read(raw) as stream:
        yield from stream


@contextlib.contextmanager
def _read(raw: Path) -> Iterator[pa.RecordBatchReader]:
    import pyarrow as pa

    try:
        with pa.OSFile(str(raw)) as file, pa.ipc.open_stream(file) as stream:
            yield stream
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ModelFailed("it left no answers that can be read") from error


def _with_losses(job: Job, truth: Array, answers: Answers, spare: Path, table: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    from evaluation.statistics import BLOCK, NotComparable, losses_of, metric

    losses: list[Take] = []
    schema = answers.columns.schema
    for name in job.metrics:
        known = metric(name)
        try:
            said = answers.of(known.needs, truth)
            if known.row_loss is None:
                continue
            told = known.needs == "probability" and len(answers.classes) == _width(said)
            losses.append(losses_of(known, truth, said, classes=answers.classes if told else None))
        except (NotComparable, TypeError, ValueError) as error:
            raise ModelFailed(f"its answers do not suit {name}: {str(error).rstrip('.')}") from error
        schema = schema.append(pa.field(f"loss.{known.name}", pa.float64()))
    at = 0
    with (
        parquet.ParquetFile(spare, pre_buffer=False) as file,
        parquet.ParquetWriter(table, schema, use_dictionary=False) as writer,
    ):
        for batch in file.iter_batches(BLOCK, use_threads=False):
            part = slice(at, at + batch.num_rows)
            lost = [pa.array(loss(part)) for loss in losses]
            writer.write_batch(pa.record_batch([*batch.columns, *lost], schema=schema))
            at = part.stop


def _width(probabilities: Array) -> int:
    return int(probabilities.shape[1]) if probabilities.ndim > 1 else TWO


def _missing(column: pa.Array) -> int:
    """Rows without an answer, or with one that is not finite."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_floating(column.type):
        return int(column.null_count) + int(np.count_nonzero(~np.isfinite(column.drop_null().to_numpy())))
    return int(column.null_count)
