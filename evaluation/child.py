"""One model in a process of its own: rows come in over a pipe, its answers go into a file. Run by its path.

It imports nothing of this project: the model's own environment has none of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

# Python puts the folder of a script before everything else, and modules here have names that a model's may have too.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

FEW = 100
"""Rows that show that a model answers at all, where only its probabilities are wanted."""
MOST = 1_000
"""Characters of what a model raised."""


def main(model_path: str, answers: str, order: str) -> None:
    """Score all rows of the stream on standard input.

    `order` is JSON: `features` (columns for a model without a signature), `proba` (whether probabilities are wanted),
    `output` (whether answers are wanted where there are probabilities).
    What goes wrong is left in `answers + ".error"`, with the step it went wrong at.
    """
    rows, wanted = only_rows(), json.loads(order)
    with telling(answers, "load"):
        import mlflow
        import pyarrow as pa

        scorer = Scorer(mlflow.pyfunc.load_model(model_path), wanted)
    with telling(answers, "predict"):
        write(scorer.all(pa.ipc.open_stream(rows)), answers)


def only_rows() -> IO[bytes]:
    """Standard input, which nobody else reads from now on; whatever a model prints goes to the log."""
    rows = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return rows


@contextlib.contextmanager
def telling(answers: str, step: str) -> Iterator[None]:
    """What goes wrong at this step is left beside the answers, and ends the process."""
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - a model may raise anything, and it is all told
        traceback.print_exc()
        leave(answers, *(error.args if isinstance(error, Said) else (step, said(error))))
        sys.exit(1)


def said(error: BaseException) -> str:
    """What was raised, in words."""
    return f"{type(error).__name__}: {error}"[:MOST]


def leave(answers: str, step: str, why: str) -> None:
    """Say why there are no answers."""
    Path(f"{answers}.error").write_text(json.dumps({"step": step, "why": why}), encoding="utf-8")


class Said(Exception):
    """What went wrong elsewhere: the step, and why."""


def unfit(python: str, requirements: tuple[str, ...]) -> str:
    """Why the running Python is not what a model needs, in words; empty where it is."""
    from importlib import metadata

    from packaging.requirements import InvalidRequirement, Requirement

    if python not in ("", f"{sys.version_info.major}.{sys.version_info.minor}"):
        return f"it was made with Python {python}"
    for line in requirements:
        try:
            wanted = Requirement(line)
            if wanted.marker is not None and not wanted.marker.evaluate():
                continue
            found = metadata.version(wanted.name)
        except (InvalidRequirement, metadata.PackageNotFoundError):
            return f"it needs {line[:200]}"
        if wanted.url or not wanted.specifier.contains(found, prereleases=True):
            return f"it needs {line[:200]}, and {found[:100]} is installed"
    return ""


class Scorer:
    """A model that is loaded, and what is asked of it."""

    def __init__(self, model: Any, wanted: dict[str, Any]) -> None:
        self._model, self._columns = model, _columns(model, wanted["features"])
        self._sure = _probabilities(model) if wanted["proba"] else None
        self._answering = self._sure is None or wanted["output"]
        self._classes = json.dumps([_plain(label) for label in getattr(self._sure, "classes_", ())])

    def all(self, rows: Iterable[Any]) -> Iterator[Any]:
        """The answers to all batches."""
        for place, batch in enumerate(rows):
            yield self.answers(batch, first=place == 0)

    def answers(self, batch: Any, *, first: bool) -> Any:
        """The answers to one batch, as a table."""
        import pyarrow as pa

        frame = batch.to_pandas()
        missing = [name for name in self._columns if name not in frame.columns]
        if missing:
            raise ValueError(f"the holdout has no column {missing[0]!r} beside its target, and the model asks for it")
        # Where only probabilities are wanted, the first rows show that it answers at all.
        found = {}
        asked = frame if self._columns == [*frame.columns] else frame[self._columns]
        if self._answering:
            found = _table(self._model.predict(asked), "output", batch.num_rows)
        elif first:
            few = asked.head(FEW)
            _table(self._model.predict(few), "output", len(few))
        if self._sure is not None:
            found |= _table(self._sure.predict_proba(asked), "proba", batch.num_rows)
        return pa.table(found).replace_schema_metadata({"classes": self._classes})


def write(tables: Iterable[Any], answers: str) -> None:
    """Keep the answers in this order, with the types of the first ones."""
    import pyarrow as pa

    writer, schema = None, None
    with pa.OSFile(answers, "wb") as file:
        for table in tables:
            if writer is None:
                schema = table.schema
                writer = pa.ipc.new_stream(file, schema)
            writer.write_table(table.cast(schema))
        if writer is not None:
            writer.close()


def _plain(label: Any) -> Any:
    """A class as JSON has it."""
    return label.item() if hasattr(label, "item") else str(label)


def _columns(model: Any, features: list[str]) -> list[str]:
    schema = model.metadata.get_input_schema()
    names = schema.input_names() if schema is not None else []
    needed = [name for name in names if name is not None]
    return needed or features


def _probabilities(model: Any) -> Any:
    """What lies beneath and has `predict_proba`, None where nothing does."""
    try:
        raw = model.get_raw_model()
    except Exception:  # noqa: BLE001 - not every flavour has one, and each says so in its own way
        return None
    return raw if hasattr(raw, "predict_proba") else None


def _table(answer: Any, name: str, rows: int) -> dict[str, Any]:
    """The answer as columns `name.0`, `name.1` ... with one value a row."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if isinstance(answer, pd.DataFrame):
        arrays = [answer[column].to_numpy() for column in answer.columns]
    elif isinstance(answer, dict):
        arrays = [np.asarray(column) for column in answer.values()]
    else:
        whole = answer.to_numpy() if isinstance(answer, pd.Series) else np.asarray(answer)
        arrays = [whole] if whole.ndim == 1 else [*whole.T] if whole.ndim == 2 else []  # noqa: PLR2004 - a table
    if not arrays or any(array.ndim != 1 for array in arrays):
        raise TypeError(f"the model answered with {type(answer).__name__}, which is neither a column nor a table")
    for array in arrays:
        if len(array) != rows:
            raise ValueError(f"the model answered {len(array)} rows where it was asked {rows}")
    try:
        return {f"{name}.{place}": pa.array(array, from_pandas=True) for place, array in enumerate(arrays)}
    except pa.ArrowException as error:
        kinds = ", ".join(dict.fromkeys(str(array.dtype) for array in arrays))
        raise TypeError(f"the model answered with {kinds}, which is not numbers, text or booleans") from error


if __name__ == "__main__":
    main(*sys.argv[1:])
    # The answers are whole; what libraries do at their end takes most of a second, and nobody needs it.
    os._exit(0)
