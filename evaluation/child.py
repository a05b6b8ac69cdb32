"""One model in a process of its own: rows come in over a pipe, its answers go into a file. Run by its path.

It imports nothing of this project: the model's own environment has none of it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

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
    rows = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # whatever a model prints goes to the log
    wanted, step = json.loads(order), "load"
    try:
        import mlflow
        import pyarrow as pa

        model = mlflow.pyfunc.load_model(model_path)
        step = "predict"
        _score(model, pa.ipc.open_stream(rows), answers, wanted)
    except BaseException as error:  # noqa: BLE001 - a model may raise anything, and it is all told
        traceback.print_exc()
        said = f"{type(error).__name__}: {error}"
        Path(f"{answers}.error").write_text(json.dumps({"step": step, "why": said[:MOST]}), encoding="utf-8")
        sys.exit(1)


def _score(model: Any, rows: Any, answers: str, wanted: dict[str, Any]) -> None:
    import pyarrow as pa

    columns, scorer = _columns(model, wanted["features"]), _probabilities(model) if wanted["proba"] else None
    classes = [_plain(label) for label in getattr(scorer, "classes_", ())]
    answering = scorer is None or wanted["output"]
    writer, schema = None, None
    with pa.OSFile(answers, "wb") as file:
        for batch in rows:
            frame = batch.to_pandas()
            missing = [name for name in columns if name not in frame.columns]
            if missing:
                raise KeyError(f"the holdout has no column {missing[0]!r}, which the model asks for")
            # Where only probabilities are wanted, the first rows show that it answers at all.
            found = {}
            asked = frame if columns == [*frame.columns] else frame[columns]
            if answering:
                found = _table(model.predict(asked), "output", batch.num_rows)
            elif writer is None:
                few = asked.head(FEW)
                _table(model.predict(few), "output", len(few))
            if scorer is not None:
                found |= _table(scorer.predict_proba(asked), "proba", batch.num_rows)
            answer = pa.table(found)
            if writer is None:
                schema = answer.schema.with_metadata({"classes": json.dumps(classes)})
                writer = pa.ipc.new_stream(file, schema)
            writer.write_table(answer.cast(schema))
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
    if not arrays:
        raise TypeError(f"the model answered with {type(answer).__name__}, which is neither a column nor a table")
    for array in arrays:
        if len(array) != rows:
            raise ValueError(f"the model answered {len(array)} rows where it was asked {rows}")
    return {f"{name}.{place}": pa.array(array, from_pandas=True) for place, array in enumerate(arrays)}


if __name__ == "__main__":
    main(*sys.argv[1:])
