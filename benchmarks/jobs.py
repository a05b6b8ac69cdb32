"""Tables, models and pointers for the benchmarks of the scoring jobs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench

FEATURES = 10
PIECE = 250_000
"""Rows that are made at a time."""


def model(bench: Bench, number: int) -> Path:
    """A ridge regression with ten features and a signature, made once for a run."""
    key = f"job-model-{number}"
    if key not in bench.cache:
        import mlflow.sklearn
        import pandas as pd
        from mlflow.models import infer_signature
        from sklearn.linear_model import Ridge

        rows = pd.DataFrame(_features(1_000, number), columns=names())
        fitted = Ridge().fit(rows, rows.sum(axis=1) * number)
        made = bench.folder / key
        signature = infer_signature(rows, fitted.predict(rows))
        mlflow.sklearn.save_model(fitted, made, signature=signature, pip_requirements=["scikit-learn"])
        bench.cache[key] = made
    return bench.cache[key]


def names() -> list[str]:
    """The columns that the models take."""
    return [f"x{n}" for n in range(FEATURES)]


def grow(table: Path, rows: int, first: int = 0) -> None:
    """Append rows in pieces; their `id` counts on from `first`."""
    import pyarrow as pa
    from deltalake import write_deltalake

    for begin in range(0, rows, PIECE):
        some = min(PIECE, rows - begin)
        values = _features(some, begin)
        ids = pa.array(range(first + begin, first + begin + some), pa.int64())
        columns = {"id": ids, **{name: values[:, n] for n, name in enumerate(names())}}
        write_deltalake(str(table), pa.table(columns), mode="append")


def point(pointer: Path, version: int, uri: Path) -> str:
    """Move a pointer as whoever deploys does; its token."""
    token = f"t{time.monotonic_ns()}"
    name = f"bench-v{version}"
    release = {"version": version, "key": f"{version}-bench", "uri": str(uri)}
    told = {"format": 1, "owner": "bench", "model": "bench", "token": token, "live": name, "releases": {name: release}}
    spare = pointer.with_name(f".{pointer.name}.{os.getpid()}")
    spare.write_text(json.dumps(told))
    spare.replace(pointer)
    return token


def status(pointer: Path) -> dict[str, Any]:
    """What the job at a pointer says; nothing before it said anything."""
    try:
        found: dict[str, Any] = json.loads(pointer.with_name(f"{pointer.stem}.status.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def _features(rows: int, seed: int) -> Any:
    import numpy as np

    return np.random.default_rng(seed).random((rows, FEATURES))
