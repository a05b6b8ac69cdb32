"""What a model answered, checked and read as what the metrics need: labels, probabilities, numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.errors import ModelFailed
from evaluation.job import Job
from evaluation.rows import Kept

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Array = npt.NDArray[np.generic]

TWO = 2
HALF = 0.5


@dataclass(frozen=True)
class Answers:
    """Columns `output.0` ... as the model answered, `proba.0` ... as it is sure of each of `classes`.

    Where both are there, probabilities are the model's own; where only one was wanted, the other is made of it.
    """

    table: pa.Table
    classes: tuple[Any, ...] = ()

    def _columns(self, name: str) -> list[Array]:
        known = [column for column in self.table.column_names if column.startswith(f"{name}.")]
        return [self.table[column].to_numpy() for column in known]

    def label(self, truth: Array) -> Array:
        """(n,) one class a row. A probability of the second of two classes becomes the class that is likelier."""
        import numpy as np

        output = self._columns("output") or self._columns("proba")
        if len(output) > 1:
            order = np.asarray(self.classes) if len(self.classes) == len(output) else np.unique(truth)
            if len(order) != len(output):
                raise ModelFailed(f"it answers with {len(output)} columns, and a label is one")
            return np.asarray(order[np.argmax(np.column_stack(output), axis=1)])
        found, known = output[0], np.unique(truth)
        if found.dtype.kind == "f" and len(known) == TWO:
            chance = found.astype(np.float64)
            if (chance != np.rint(chance)).any() and chance.min() >= 0.0 and chance.max() <= 1.0:
                return np.asarray(known[(chance > HALF).astype(int)])
        return found

    def probability(self) -> Array:
        """(n,) of the second of two classes, or (n, classes)."""
        import numpy as np

        found = self._columns("proba") or self._columns("output")
        return found[0] if len(found) == 1 else np.column_stack(found)

    def number(self) -> Array:
        """(n,) one number a row."""
        output = self._columns("output")
        if len(output) != 1:
            raise ModelFailed(f"it answers with {len(output)} columns where one number a row is needed")
        return output[0]

    def of(self, needs: str, truth: Array) -> Array:
        """What a metric needs: `label`, `probability` or `number`."""
        if needs == "label":
            return self.label(truth)
        return self.probability() if needs == "probability" else self.number()


def checked(job: Job, kept: Kept, raw: Path) -> tuple[Answers, pa.Table]:
    """The answers, whole and finite, and the table to keep: with what each row loses, where a metric is a mean of that.

    Raises ModelFailed with what is wrong.
    """
    import pyarrow as pa

    from evaluation.statistics import NotComparable, metric, row_losses

    try:
        with pa.memory_map(str(raw)) as file:
            read = pa.ipc.open_stream(file).read_all()
            classes = tuple(json.loads((read.schema.metadata or {}).get(b"classes", b"[]")))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ModelFailed("it left no answers that can be read") from error
    if read.num_rows != kept.rows:
        raise ModelFailed(f"it answered {read.num_rows:,} rows of {kept.rows:,}")
    for name in read.column_names:
        _is_whole(name, read[name])
    answers, truth = Answers(read, classes), kept.table()[job.target].to_numpy()
    table = read
    for name in job.metrics:
        known = metric(name)
        try:
            said = answers.of(known.needs, truth)
            if known.row_loss is not None:
                order = classes if known.needs == "probability" and len(classes) == _width(said) else None
                losses = row_losses(known, truth, said, classes=order)
                table = table.append_column(f"loss.{known.name}", pa.array(losses))
        except (NotComparable, TypeError, ValueError) as error:
            raise ModelFailed(f"its answers do not suit {name}: {str(error).rstrip('.')}") from error
    return answers, table


def _width(said: Array) -> int:
    return said.shape[1] if said.ndim > 1 else TWO


def _is_whole(name: str, column: pa.ChunkedArray) -> None:
    import numpy as np
    import pyarrow as pa

    rows = column.null_count
    if pa.types.is_floating(column.type):
        rows += int(np.count_nonzero(~np.isfinite(column.drop_null().to_numpy())))
    if rows:
        what = "probability" if name.startswith("proba") else "answer"
        raise ModelFailed(f"its {what} is missing or not finite in {rows:,} of {len(column):,} rows")
