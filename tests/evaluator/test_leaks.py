"""A holdout that a version was trained on: what its run logged, and the rows themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.data import look
from evaluation.job import Job, Source
from evaluation.leaks import leak
from tests.evaluator.world import frame, holdout, job, logistic
from tests.registry.mlflow_world import sqlite_registry


class Runs:
    """A tracking store, and jobs whose challenger was trained in a run of it."""

    def __init__(self, folder: Path) -> None:
        self.uri, self._folder = sqlite_registry(folder), folder

    def trained_on(self, rows: Any, *, context: str = "training", most: int = 50) -> Job:
        """A job whose challenger's run logged these rows, or the file of this path, as its data; digested: so many."""
        import mlflow

        path = rows if isinstance(rows, Path) else self._folder / "train.parquet"
        if not isinstance(rows, Path):
            rows.to_parquet(path)
        import pandas as pd

        logged = mlflow.data.from_pandas(pd.read_parquet(path).head(most), source=str(path), name="train")  # type: ignore[attr-defined]
        from mlflow import MlflowClient
        from mlflow.entities import DatasetInput, InputTag

        client = MlflowClient(tracking_uri=self.uri)
        run = client.create_run(client.create_experiment(f"e-{path.name}-{context}")).info.run_id
        tags = [InputTag("mlflow.data.context", context)]
        client.log_inputs(run, [DatasetInput(logged._to_mlflow_entity(), tags)])  # noqa: SLF001 - as MLflow logs it
        asked = job(logistic(0), None, tracking_uri=self.uri)
        return replace(asked, challenger=replace(asked.challenger, run_id=run))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def said(asked: Job) -> Any:
    return leak(asked, look(asked.data, asked.tracking_uri))


def test_the_holdout_itself_logged_as_training_data_is_a_leak(runs: Runs) -> None:
    found = said(runs.trained_on(holdout()))
    assert "logged this holdout as training data, as data set 'train'" in found.why


def test_the_holdout_logged_as_evaluation_data_is_none(runs: Runs) -> None:
    found = said(runs.trained_on(holdout(), context="evaluation"))
    assert (found.why, found.unknown) == ("", "Its run logged no training data.")


def test_a_copy_of_the_holdout_under_another_name_is_a_leak(runs: Runs) -> None:
    import pandas as pd

    found = said(runs.trained_on(pd.read_parquet(holdout()).sample(frac=1.0, random_state=1)))
    assert found.overlap == 1.0
    assert "100.00% of the holdout's rows" in found.why


def test_a_part_of_the_holdout_in_the_training_data_is_a_leak_above_what_is_allowed(runs: Runs) -> None:
    import pandas as pd

    mixed = pd.concat([frame(4_000, 2), pd.read_parquet(holdout()).head(400)])
    asked = runs.trained_on(mixed)
    assert said(asked).overlap == pytest.approx(0.1)
    assert said(asked).why
    assert said(replace(asked, max_overlap=0.2)).why == ""


def test_other_rows_of_the_same_kind_are_none(runs: Runs) -> None:
    found = said(runs.trained_on(frame(4_000, 2)))
    assert (found.why, found.unknown, found.overlap) == ("", "", 0.0)


def test_columns_of_other_widths_hide_no_overlap(runs: Runs) -> None:
    import pandas as pd

    rows = pd.read_parquet(holdout())
    rows["churned"] = rows["churned"].astype("int8")
    rows["customer"] = rows["customer"].astype("float64")
    assert said(runs.trained_on(rows)).overlap == 1.0


def test_training_data_that_is_gone_is_said_and_no_leak(runs: Runs) -> None:
    asked = runs.trained_on(frame(100, 2))
    (runs._folder / "train.parquet").unlink()  # noqa: SLF001 - the world of this test
    found = said(asked)
    assert found.why == ""
    assert found.unknown.startswith("The data set 'train' of its run cannot be read: The training data ")
    assert "holdout" not in found.unknown


@pytest.mark.parametrize("more", [0, 1])
def test_training_data_that_is_gone_is_a_leak_where_its_digest_is_the_holdouts(runs: Runs, more: int) -> None:
    import pandas as pd

    rows = pd.concat([pd.read_parquet(holdout()), frame(more, 2)])
    asked = runs.trained_on(rows, most=len(rows))
    (runs._folder / "train.parquet").unlink()  # noqa: SLF001 - the world of this test
    found = said(asked)
    assert found.why.startswith("Its run logged training data with this holdout's digest, ") is (more == 0)
    assert ("'train' of its run cannot be read" in found.unknown) is (more == 1)


def test_a_version_without_a_run_says_that_nothing_is_known() -> None:
    assert said(job(logistic(0), None)).unknown == "The version has no run that could say what it was trained on."


def test_a_data_set_that_mlflow_logged_can_be_the_holdout(runs: Runs) -> None:
    import pandas as pd

    asked = runs.trained_on(holdout(), context="evaluation")
    rows = look(Source(f"runs:/{asked.challenger.run_id}/train"), runs.uri)
    assert rows.source.uri == str(holdout())
    assert rows.count() == len(pd.read_parquet(holdout()))
