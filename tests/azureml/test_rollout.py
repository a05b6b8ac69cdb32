"""The whole loop on Azure ML by `watcher tick`, a new watcher after each step; real SDKs, a local cloud."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import deployers
from tests.azureml import house
from tests.azureml.cloud import SHORT, Cloud
from tests.registry.mlflow_world import MlflowWorld, sqlite_registry
from watcher import config, wiring
from watcher.cli import session
from watcher.cli.main import main
from watcher.ports import Line

pytestmark = pytest.mark.slow
MODEL, ENDPOINT = "risk.churn", "churn-api"
SLOW = frozenset({"baking", "traffic_unknown", "too_few_requests", "launching"})
SETTINGS = """\
version: 1
owner: tests
registry: {{uri: "{uri}"}}
policies:
  auc: {{primary: {{metric: auc, min_gain: 0.002}}, signature: false}}
rollouts:
  careful:
    canary: [10, 100]
    bake: 6m
    analysis: {{min_requests: 20, no_traffic: wait}}
    probe: {{file: rows.json}}
    keep_warm: 1h
    deadline: 3h
models:
  - name: {model}
    policy: auc
    rollout: careful
    targets: [{{name: api, kind: azureml-online, workspace: "{workspace}", endpoint: {endpoint}}}]
"""


class Desk:
    """A registry, a cloud, and a person who runs `watcher tick` again and again."""

    def __init__(self, folder: Path, cloud: Cloud, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self.cloud, self._capture = folder, cloud, capture
        cloud.now = time.time()
        cloud.deployment_seconds, cloud.endpoint_seconds, cloud.traffic_seconds = 100.0, 20.0, 12.0
        uri = sqlite_registry(folder)
        self.world = MlflowWorld(uri, folder)
        self.path = folder / "watch.yaml"
        self.path.write_text(SETTINGS.format(uri=uri, model=MODEL, workspace=SHORT, endpoint=ENDPOINT))
        (folder / "rows.json").write_bytes(house.EXAMPLE.body)
        self.steps: list[str] = []
        self.trained: list[int] = []
        self.ticks = 0
        self._kept: wiring.App | None = None
        self.out = ""

    def app(self, path: Path, tell: Callable[[Line], None] | None) -> wiring.App:
        if self._kept is not None:
            return self._kept
        settings = config.load(path, {}, shapes=deployers.shape, place=deployers.place)
        app = wiring.build(settings, os.environ, tell, self.cloud.clock)
        app.loop.sources.deployers._built["azureml-online"] = house.deployer_on(self.cloud)  # type: ignore[attr-defined]  # noqa: SLF001 - on the cloud's clock
        self._kept = app
        return app

    def train(self, auc: float) -> int:
        client, number = self.world.client, len(self.trained) + 1
        if not self.trained:
            client.create_registered_model(MODEL)
        run = client.create_run(self.world.experiment)
        client.log_metric(run.info.run_id, "auc", auc)
        files = house.model_files(self.folder / "models", number)
        version = client.create_model_version(MODEL, files.as_uri(), run_id=run.info.run_id)
        self.trained.append(int(version.version))
        self.cloud.sleep(1.0)
        return self.trained[-1]

    def tick(self) -> Any:
        """One wake-up, by a watcher that was started after the last step; what it did."""
        self._capture.readouterr()
        code = main(["--config", str(self.path), "--json", "tick", MODEL])
        told = self._capture.readouterr()
        assert "." not in told.out.partition("[")[0], "an SDK printed"
        (answer,) = json.loads(told.out)
        # 3: what Azure does not take or show yet, such as a deployment of an endpoint that is being created.
        assert code in (0, 3), told.out + told.err
        self.ticks += 1
        if answer["steps"]:
            # Whatever was started, another process finds it.
            self._kept = None
        self.steps += [step["verb"] for step in answer["steps"]]
        return answer

    def until(self, condition: Callable[[], bool], most: int = 120, clients: int = 0) -> None:
        """Tick, and let time pass to the next appointment, until it holds."""
        for _ in range(most):
            if condition():
                return
            answer = self.tick()
            if not answer["steps"]:
                # The loop looks ten times in a bake, and more often while a deployment is created; looks cost calls.
                least = 60.0 if answer["next"]["reason"] in SLOW else 1.0
                seconds = max((answer["again"] or 0) - self.cloud.now, least)
                self.cloud.clients(ENDPOINT, seconds, clients) if clients else self.cloud.sleep(seconds)
        raise AssertionError(f"it did not come to be: {self.steps[-10:]}, {answer}")

    def champion(self) -> int | None:
        found = self.world.client.get_registered_model(MODEL).aliases.get("champion")
        return int(found) if found else None

    def verdict(self, version: int) -> str | None:
        found: str | None = self.world.client.get_model_version(MODEL, str(version)).tags.get("watcher.verdict")
        return found

    def told(self) -> str:
        """The whole history, as `watcher history` shows it."""
        self._capture.readouterr()
        assert main(["--config", str(self.path), "history", MODEL]) == 0
        return " ".join(self._capture.readouterr().out.split())

    def deployments(self) -> set[int]:
        there = self.cloud.endpoints[ENDPOINT].deployments if ENDPOINT in self.cloud.endpoints else {}
        return {int(each.body["tags"]["watcher.version"]) for each in there.values()}

    def shares(self) -> dict[int, int]:
        there = self.cloud.endpoints[ENDPOINT].deployments
        found = self.cloud.traffic(ENDPOINT)
        return {int(there[name].body["tags"]["watcher.version"]): share for name, share in found.items()}


@pytest.fixture
def desk(tmp_path: Path, cloud: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    cloud.assets.clear()
    # Else MLflow makes a database in the current folder.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'registry.db'}")
    made = Desk(tmp_path, cloud, capsys)
    monkeypatch.setattr(session, "make_app", made.app)
    monkeypatch.setattr(session, "sleep", cloud.sleep)
    return made


def test_winners_go_from_launch_to_crown_and_the_old_one_is_kept_warm_then_deleted(desk: Desk) -> None:
    first = desk.train(0.80)
    desk.until(lambda: desk.champion() == first)
    assert desk.shares() == {first: 100}
    second = desk.train(0.85)
    seen: set[tuple[tuple[int, int], ...]] = set()

    def crowned() -> bool:
        seen.add(tuple(sorted(desk.shares().items())))
        return desk.champion() == second

    desk.until(crowned, clients=120)
    assert seen == {((first, 100),), ((first, 90), (second, 10)), ((second, 100),)}
    assert desk.deployments() == {first, second}, "the old one is warm"
    desk.until(lambda: desk.deployments() == {second}, most=200)
    assert desk.shares() == {second: 100}


@pytest.mark.long
def test_a_challenger_that_does_not_start_is_rolled_back_in_the_words_of_azure(desk: Desk) -> None:
    first = desk.train(0.80)
    desk.until(lambda: desk.champion() == first)
    desk.cloud.broken["2"] = {"code": "ResourceNotReady", "message": "ModuleNotFoundError: xgboost"}
    second = desk.train(0.85)
    desk.until(lambda: desk.verdict(second) == "rolled_back")
    assert (desk.champion(), desk.shares()) == (first, {first: 100})
    assert "ResourceNotReady: ModuleNotFoundError: xgboost" in desk.told()


@pytest.mark.long
def test_a_canary_that_answers_with_errors_is_rolled_back_by_azure_monitors_figures(desk: Desk) -> None:
    first = desk.train(0.80)
    desk.until(lambda: desk.champion() == first)
    second = desk.train(0.85)
    desk.until(lambda: desk.shares() == {first: 90, second: 10}, clients=240)
    (bad,) = [name for name in desk.cloud.traffic(ENDPOINT) if "-v2-" in name]
    desk.cloud.scoring_errors[bad] = 500
    desk.until(lambda: desk.verdict(second) == "rolled_back", clients=240)
    assert (desk.champion(), desk.shares()) == (first, {first: 100})
    assert "requests failed" in desk.told()


@pytest.mark.long
@pytest.mark.parametrize("loses_only_the_answer", [False, True])
def test_a_rollout_comes_to_its_end_whatever_azure_loses_on_the_way(desk: Desk, *, loses_only_the_answer: bool) -> None:
    """Azure goes out for a while, again and again, at other calls each time."""
    first = desk.train(0.80)
    outages = iter(range(1, 400))

    def done() -> bool:
        left = desk.cloud.outage
        if left is None:
            desk.cloud.outage = (3 + next(outages) % 7, loses_only_the_answer)
        elif left[0] < -6:
            desk.cloud.outage = None
        return desk.champion() == first

    desk.until(done, most=400)
    desk.cloud.outage = None
    assert desk.shares() == {first: 100}
    assert desk.deployments() == {first}
