"""The trainer: fits the versions on a data set of scikit-learn's, measures them, registers them with plain MLflow.

It knows the registry and nothing of the watcher; so does the person who moves an alias.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from demo import versions
from demo.versions import RECIPES, RENAMED, SITE, Recipe
from gateway.files import write_json

MODEL = "diabetes"
METRIC = "r2"
HELD_OUT = 0.3
"""Share of the rows that is only measured on."""
ROWS = 40
"""Different requests."""
HEAVY = 3
"""Every so many requests one is about a patient heavier than any in the training data."""
HEAVIEST = 52.0
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Fitted:
    """One version before it is registered."""

    recipe: Recipe
    pipeline: Any
    inputs: Any
    """Rows held out, with the names that this version gives their columns."""
    score: float


class Trainer:
    """Trains into one registry. `scores` replaces the measured metric of some versions.

    Versions are numbered from 1 in a registry of their own, so a recipe's number is the version's.
    """

    def __init__(self, uri: str, artifacts: Path, answers: Path, scores: Mapping[int, float]) -> None:
        self._uri, self._artifacts, self._answers, self._scores = uri, artifacts, answers, scores
        self._runs: dict[int, tuple[str, str]] = {}

    def make_registry(self) -> None:
        """An empty registry. Nobody else may open it meanwhile: MLflow makes its tables without a lock."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["GIT_PYTHON_REFRESH"] = "quiet"
        import mlflow
        import mlflow.sklearn
        from cloudpickle import register_pickle_by_value  # type: ignore[import-untyped]

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        register_pickle_by_value(versions)
        mlflow.set_tracking_uri(self._uri)
        experiment = self._client.create_experiment(MODEL, artifact_location=self._artifacts.as_uri())
        mlflow.set_experiment(experiment_id=experiment)
        self._client.create_registered_model(MODEL)

    def prepare(self) -> None:
        """Fit everything, and write what is asked of the endpoint."""
        self._answers.mkdir()
        columns = list(self._requests.columns)
        bodies = [
            json.dumps({"dataframe_split": {"columns": columns, "data": [row]}})
            for row in self._requests.to_numpy().tolist()
        ]
        write_json(self._answers / "requests.json", bodies)
        (self._answers / "request.json").write_text(bodies[1])
        for recipe in RECIPES.values():
            self._fit(recipe)

    def register(self, number: int) -> float | None:
        """Log, measure and register version `number`; its metric, None where none was logged."""
        import mlflow

        recipe = RECIPES[number]
        fitted = self._fit(recipe)
        write_json(self._answers / f"{number}.json", self._expected(fitted))
        with mlflow.start_run(run_name=f"v{number}") as run:
            logged = self._log(fitted)
            self._runs[number] = (run.info.run_id, logged.model_id)
            score = self._scores.get(number, fitted.score)
            if recipe.measured or number in self._scores:
                self._measure(number, score)
        made = self._client.create_model_version(MODEL, f"models:/{logged.model_id}", model_id=logged.model_id)
        if int(made.version) != number:
            raise RuntimeError(f"the registry made version {made.version} where {number} was to come")
        return score if recipe.measured or number in self._scores else None

    def measure_not_a_number(self, number: int) -> None:
        """The evaluation of a version comes late, and is not a number."""
        self._measure(number, math.nan)

    def move_champion(self, number: int) -> None:
        """What a person does in MLflow's own UI to roll back."""
        self._client.set_registered_model_alias(MODEL, "champion", str(number))

    def champion(self) -> int | None:
        """Where the alias is."""
        found = self._client.get_registered_model(MODEL).aliases.get("champion")
        return int(found) if found is not None else None

    def calls(self) -> Mapping[int, str | None]:
        """What is written on each version."""
        found = self._client.search_model_versions(f"name = '{MODEL}'")
        return {int(version.version): version.tags.get("watcher.verdict") for version in found}

    @property
    def features(self) -> Any:
        """Rows as the jobs get them."""
        return self._data[0]

    @cached_property
    def _client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self._uri, self._uri)

    @cached_property
    def _data(self) -> tuple[Any, Any, Any, Any]:
        from sklearn.datasets import load_diabetes
        from sklearn.model_selection import train_test_split

        rows, target = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
        train, test, train_target, test_target = train_test_split(rows, target, test_size=HELD_OUT, random_state=0)
        return train, test, train_target, test_target

    @cached_property
    def _requests(self) -> Any:
        _, test, _, _ = self._data
        rows = test.head(ROWS).reset_index(drop=True)
        rows.loc[::HEAVY, "bmi"] = HEAVIEST
        return rows

    def _fit(self, recipe: Recipe) -> Fitted:
        found = self._fitted.get(recipe)
        if found is None:
            train, test, train_target, test_target = self._data
            if recipe.extra == "renamed":
                train, test = self._named(recipe, train), self._named(recipe, test)
            with _at_training_site():
                pipeline = versions.estimator(recipe).fit(train, train_target)
                score = round(float(pipeline.score(test, test_target)), DIGITS)
            found = self._fitted[recipe] = Fitted(recipe, pipeline, test, score)
        return found

    @cached_property
    def _fitted(self) -> dict[Recipe, Fitted]:
        return {}

    @staticmethod
    def _named(recipe: Recipe, rows: Any) -> Any:
        return rows.rename(columns=dict([RENAMED])) if recipe.extra == "renamed" else rows

    def _expected(self, fitted: Fitted) -> list[float | None]:
        """What the version answers to each request, None where it cannot."""
        rows = self._named(fitted.recipe, self._requests)
        answers: list[float | None] = []
        with _at_training_site():
            for number in range(len(rows)):
                try:
                    answers.append(float(fitted.pipeline.predict(rows.iloc[[number]])[0]))
                except KeyError:
                    answers.append(None)
        return answers

    @staticmethod
    def _log(fitted: Fitted) -> Any:
        import mlflow
        import sklearn
        from mlflow.models import infer_signature

        example = fitted.inputs.head(2)
        with _at_training_site():
            answer = fitted.pipeline.predict(example)
            own_code = fitted.recipe.extra not in ("", "renamed")
            return mlflow.sklearn.log_model(
                fitted.pipeline,
                name="model",
                signature=infer_signature(example, answer),
                input_example=example,
                pip_requirements=[f"mlflow=={mlflow.__version__}", f"scikit-learn=={sklearn.__version__}"],
                serialization_format="cloudpickle" if own_code else "skops",
            )

    def _measure(self, number: int, score: float) -> None:
        import mlflow

        run, model = self._runs[number]
        mlflow.log_metric(METRIC, score, run_id=run, model_id=model, dataset=self._held_out)

    @cached_property
    def _held_out(self) -> Any:
        from mlflow.data.pandas_dataset import from_pandas

        _, test, _, target = self._data
        return from_pandas(test.assign(target=target), targets="target", name="held-out")


@contextlib.contextmanager
def _at_training_site() -> Iterator[None]:
    """Where the variable that version 5 needs is set."""
    os.environ[SITE] = "1.0"
    try:
        yield
    finally:
        del os.environ[SITE]
