"""Scoring script of our batch deployments. Runs inside the container, in the model's own environment.

Reads CSV, Parquet and JSON lines, and gives back the rows with their predictions, the file and the version.
"""

import os
from pathlib import Path
from typing import Any

_loaded: dict[str, Any] = {}


def init() -> None:
    """Called once in each process, before the first files."""
    from mlflow import pyfunc

    root = Path(os.environ["AZUREML_MODEL_DIR"])
    folders = [found.parent for found in root.rglob("MLmodel")]
    if not folders:
        raise FileNotFoundError(f"there is no MLmodel below {root}")
    # The one nearest the top: a model may carry others inside itself.
    folder = min(folders, key=lambda each: (len(each.parts), each))
    _loaded["model"] = pyfunc.load_model(str(folder))


def run(mini_batch: list[str]) -> Any:
    """Score some files. One that cannot be read or scored fails the mini-batch: no row is left out unsaid."""
    import pandas as pd

    scored = []
    for name in mini_batch:
        rows = _read(Path(name))
        found = pd.DataFrame(_loaded["model"].predict(_widened(rows))).add_prefix("prediction_")
        found.index = rows.index
        told = {"file": Path(name).name, "model_version": os.environ.get("WATCHER_VERSION", "")}
        scored.append(pd.concat([rows, found], axis=1).assign(**told))
    return pd.concat(scored)


def _widened(rows: Any) -> Any:
    """Whole numbers where the model takes fractions: a file does not say which of the two it means."""
    schema = _loaded["model"].metadata.get_input_schema()
    if schema is None or schema.is_tensor_spec():
        return rows
    wanted = dict(zip(schema.input_names(), schema.pandas_types(), strict=True))
    wider = {
        name: kind
        for name, kind in wanted.items()
        if name in rows and getattr(kind, "kind", "") == "f" and rows[name].dtype.kind in "iu"
    }
    return rows.astype(wider)


def _read(path: Path) -> Any:
    import pandas as pd

    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    reader = readers.get(path.suffix.lower())
    return reader(path) if reader is not None else pd.read_json(path, lines=True)
