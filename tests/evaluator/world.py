"""Real models and a real holdout: one signal, and models that see more or less of it."""

from __future__ import annotations

import functools
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.data import look
from evaluation.job import Job, Model, Source
from evaluation.local import Local, Seen
from evaluation.running import result
from evaluation.store import Store

if TYPE_CHECKING:
    import pandas as pd

ROWS = 4_000
COLUMNS = ["x0", "x1", "x2"]
PATIENCE = 120.0
_kept: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def folder() -> Path:
    """Where models and data are saved once."""
    made = tempfile.TemporaryDirectory(prefix="evaluator-")
    _kept.append(made)
    return Path(made.name)


def frame(rows: int, seed: int) -> pd.DataFrame:
    """`churned` follows x0 strongly, x1 weakly and x2 not at all; `region` and `customer` are along."""
    import numpy as np
    import pandas as pd

    chance = np.random.default_rng(seed)
    x = chance.normal(size=(rows, 3))
    odds = 1.5 * x[:, 0] + 0.8 * x[:, 1] + chance.logistic(size=rows)
    found = pd.DataFrame(x, columns=COLUMNS)
    found["region"] = np.where(chance.random(rows) < 0.7, "north", "south")
    found["customer"] = np.arange(rows) // 2
    found["churned"] = (odds > 0).astype("int64")
    return found


@functools.cache
def holdout() -> Path:
    """4,000 rows as Parquet."""
    path = folder() / "holdout.parquet"
    frame(ROWS, 1).to_parquet(path)
    return path


@functools.cache
def train() -> pd.DataFrame:
    return frame(4_000, 2)


def saved(name: str, save: Callable[[str, Any], None]) -> Path:
    """A model saved once under this name; `save` is given the path and a signature of the three columns."""
    from mlflow.models import infer_signature

    path = folder() / name
    if not path.exists():
        signature = infer_signature(train()[COLUMNS], train()["churned"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save(str(path), signature)
    return path


@functools.cache
def logistic(*columns: int, requirements: tuple[str, ...] = ("mlflow", "scikit-learn")) -> Path:
    """A logistic regression that sees only some of the columns, behind a signature that takes all three."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def save(path: str, signature: Any) -> None:
        import mlflow.sklearn

        seen = ColumnTransformer([("seen", "passthrough", [COLUMNS[c] for c in columns])])
        model = make_pipeline(seen, LogisticRegression()).fit(train()[COLUMNS], train()["churned"])
        mlflow.sklearn.save_model(
            model,
            path,
            signature=signature,
            pip_requirements=[*requirements],
            serialization_format="cloudpickle",
        )

    return saved("-".join(map(str, ("logistic", *columns, len(requirements)))), save)


def model(number: int, path: Path, name: str = "churn") -> Model:
    return Model(name, number, path.name, str(path))


def job(challenger: Path, champion: Path | None, **changes: Any) -> Job:
    """Version 2 against version 1 by ROC AUC and log loss."""
    asked: dict[str, Any] = {
        "challenger": model(2, challenger),
        "champion": model(1, champion) if champion else None,
        "data": Source(str(holdout())),
        "target": "churned",
        "metrics": ("roc_auc", "log_loss"),
        "timeout": 60.0,
    }
    return Job(**asked | changes)


def over(local: Local, asked: Job) -> Seen:
    """Begin it where it is not begun, and look until it is over."""
    local.start(asked)
    ends = time.monotonic() + PATIENCE
    while (seen := local.observe(asked)).state == "running":
        assert time.monotonic() < ends, "the evaluation does not end"
        time.sleep(0.05)
    return seen


def in_process(asked: Job, home: Path) -> dict[str, Any]:
    """The evaluation carried out here, its models in processes of their own; what it would leave."""
    store = Store(home)
    (home / "jobs").mkdir(exist_ok=True, parents=True)
    return result(asked, look(asked.data, asked.tracking_uri).token, store, store.log("job"))


def found(seen: Seen) -> dict[str, Any]:
    """The result of one that is done."""
    assert seen.state == "done", seen
    assert seen.result is not None
    return seen.result


def of(told: Mapping[str, Any], metric: str, column: str = "", value: str = "") -> dict[str, Any]:
    """One entry of the scores."""
    assert told["state"] == "done", told
    scores: list[dict[str, Any]] = told["scores"]
    return next(s for s in scores if (s["metric"], s["column"], s["value"]) == (metric, column, value))
