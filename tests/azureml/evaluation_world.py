"""A workspace of Azure ML whose jobs evaluate, and watchers on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from deployers.azureml.evaluations import AzuremlRuns
from tests.azureml.cloud import SHORT, WORKSPACE_ID, Cloud
from tests.azureml.command_jobs import CommandJobs
from tests.contract import real_models
from tests.contract.evaluator_suite import EvaluatorWorld
from watcher.evaluations import Evaluate, Holdout
from watcher.evaluators.remote import RemoteEvaluator
from watcher.values import Version

NAME = "churn-holdout"


class AzuremlWorld(EvaluatorWorld):
    """The holdout is a data asset, in a version of its own whenever it changes."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.jobs, self._folder = cloud, CommandJobs(cloud, folder), folder
        cloud.assets["environments", "scoring", "4"] = {
            "id": f"{WORKSPACE_ID}/environments/scoring/versions/4",
            "name": "4",
            "properties": {"environmentType": "UserCreated"},
        }
        self.later = 0.0
        """Seconds that the watchers' clock is ahead."""
        rows = folder / "rows-1.parquet"
        real_models.put(rows)
        self.jobs.register(NAME, "1", rows)
        self.rules = Evaluate(
            Holdout(f"azureml:{NAME}@latest"), "churned", ("roc_auc",), runner="azureml", timeout=60.0,
            job={"workspace": SHORT, "compute": "cpu", "environment": "scoring:4"},
        )  # fmt: skip
        self.evaluator = self.another()

    def another(self) -> RemoteEvaluator:
        return RemoteEvaluator(AzuremlRuns(), None, {}, clock=lambda: time.time() + self.later)

    def version(self, number: int) -> Version:
        return real_models.version(number)

    def begun(self) -> int:
        return len(self.jobs.started)

    def change_data(self) -> None:
        rows = self._folder / "rows-2.parquet"
        real_models.put_others(rows)
        self.jobs.register(NAME, "2", rows)

    def lose_data(self) -> None:
        self.jobs.data.clear()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        real_models.wait_until(condition)
