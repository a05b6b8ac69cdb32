"""Models for whole runs, saved once: each says its own number, and one fails on every row."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

from tests.gateway.world import COLUMNS, folder


@functools.cache
def says(number: int) -> Path:
    """A model that predicts `number` for every row."""
    from sklearn.dummy import DummyRegressor

    frame = _frame()
    return _saved(f"says-{number}", DummyRegressor(strategy="constant", constant=float(number)).fit(frame, frame.c0))


@functools.cache
def fails() -> Path:
    """A model that loads, and was fitted on fewer columns than its signature takes: every prediction fails."""
    from sklearn.linear_model import Ridge

    frame = _frame()
    return _saved("fails", Ridge().fit(frame[COLUMNS[:-1]].to_numpy(), frame.c0))


def _frame() -> Any:
    import pandas as pd

    return pd.DataFrame(
        [[float(row + column) for column, _ in enumerate(COLUMNS)] for row in range(4)], columns=COLUMNS
    )


def _saved(name: str, model: Any) -> Path:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    frame, path = _frame(), folder() / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        mlflow.sklearn.save_model(
            model,
            str(path),
            signature=infer_signature(frame, [1.0] * len(frame)),
            input_example=frame.head(1),
            pip_requirements=["mlflow", "scikit-learn"],
            serialization_format="skops",
        )
    return path
