"""A workspace with a volume and a job that evaluates, and watchers on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from databricks.sdk.service.jobs import JobParameterDefinition, JobSettings

from deployers.databricks.evaluations import DatabricksRuns
from evaluation import shared
from tests.contract import real_models
from tests.contract.evaluator_suite import EvaluatorWorld
from tests.databricks.control_plane import Workspace
from tests.databricks.files_plane import Files
from watcher.evaluations import Evaluate, Holdout
from watcher.evaluators.remote import RemoteEvaluator
from watcher.values import Version

JOB = 808
HOME, ROWS = "/Volumes/ml/risk/watcher/evaluations", "/Volumes/ml/risk/data/holdout.parquet"


class DatabricksWorld(EvaluatorWorld):
    """The job's runs do what `python -m evaluation.shared` does, on the folder that the volume is."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.workspace, self.files = workspace, Files(folder)
        workspace.files = self.files
        self.work: Callable[[Path, str], None] = self.evaluates
        parameters = [JobParameterDefinition(name, "") for name in ("home", "key")]
        workspace.jobs.settings[JOB] = JobSettings(name="evaluate", parameters=parameters)
        workspace.jobs.work[JOB] = lambda given: self.work(self.files.here(given["home"]), given["key"])
        self.files.here(HOME).mkdir(parents=True)
        real_models.put(self.rows)
        self.later = 0.0
        """Seconds that the watchers' clock is ahead."""
        data = Holdout(ROWS, "parquet")
        self.rules = Evaluate(
            data, "churned", ("roc_auc",), runner="databricks", timeout=60.0, home=HOME,
            job={"job_id": JOB, "host": workspace.url},
        )  # fmt: skip
        self.evaluator = self.another()

    @property
    def rows(self) -> Path:
        return self.files.here(ROWS)

    def evaluates(self, home: Path, key: str) -> None:
        shared.run(home, key, str(self.rows))

    def another(self) -> RemoteEvaluator:
        return RemoteEvaluator(DatabricksRuns(), None, {}, clock=lambda: time.time() + self.later)

    def version(self, number: int) -> Version:
        return real_models.version(number)

    def begun(self) -> int:
        return len(self.workspace.jobs.runs)

    def change_data(self) -> None:
        real_models.put_others(self.rows)

    def lose_data(self) -> None:
        self.rows.unlink()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        real_models.wait_until(condition)

    def on(self, uri: str, form: str | None = None, version: int | None = None) -> Evaluate:
        """The same rules on another holdout."""
        return replace(self.rules, data=Holdout(uri, form, version))
