"""From `watch.yaml` to a verdict: real MLflow, real models, a real holdout, the loop as it runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.evaluator.world import PATIENCE, holdout, logistic
from tests.registry.mlflow_world import sqlite_registry
from watcher import wiring
from watcher.cli.main import main
from watcher.values import Call

SETTINGS = """\
version: 1
owner: me
registry: {{uri: "{registry}"}}
poll: {{evidence: 1s}}
policies:
  measured:
    evaluate:
      data: {{uri: "{data}"}}
      target: churned
      metrics: [roc_auc, log_loss]
    primary: {{metric: roc_auc, min_gain: 0.002, confidence: 0.95}}
models:
  - {{name: churn, mode: advise, policy: measured}}
"""


class Place:
    """A registry with settings beside it."""

    def __init__(self, folder: Path) -> None:
        from mlflow import MlflowClient

        self.uri = sqlite_registry(folder)
        self.path = folder / "watch.yaml"
        self.path.write_text(SETTINGS.format(registry=self.uri, data=holdout()))
        self.client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        self.client.create_registered_model("churn")

    def register(self, path: Path) -> int:
        return int(self.client.create_model_version("churn", str(path)).version)

    def call(self, app: wiring.App, number: int) -> Call | None:
        found: Any = app.registry.version("churn", number)
        return found.call  # type: ignore[no-any-return]

    def until_called(self, number: int) -> Call:
        """Wake the model as the loop would, until the version has its call."""
        app = wiring.load(self.path, {})
        watched, ends = app.watched("churn"), time.monotonic() + PATIENCE
        assert watched is not None
        while (call := self.call(app, number)) is None:
            assert time.monotonic() < ends, "no verdict"
            woken = app.loop.wake(watched)
            if not woken.acted:
                time.sleep(0.1)
        return call


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_worse_version_is_scored_beside_the_champion_and_loses(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.client.set_registered_model_alias("churn", "champion", str(place.register(logistic(0, 1))))
    worse = place.register(logistic(0))
    assert place.until_called(worse) is Call.LOSES
    capsys.readouterr()
    assert main(["--config", str(place.path), "explain", "churn", str(worse)]) == 0
    shown = capsys.readouterr().out
    assert "roc_auc" in shown
    assert "look 1 on this holdout" in shown
    assert "4,000 rows" in shown
