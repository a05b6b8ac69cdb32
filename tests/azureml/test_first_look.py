"""The first look at a subscription says what holds of what is relied on, and changes nothing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.azureml import house
from tests.azureml.cloud import SHORT
from tests.azureml.house import Bench
from tests.azureml.registry_plane import AzurePlane
from tests.azureml.registry_world import AzureWorld, workspace
from tests.registry.mlflow_world import sqlite_registry

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "azureml_first_look.py"
SETTINGS = """\
version: 1
owner: tests
registry: {{uri: "{uri}"}}
policies: {{auc: {{primary: {{metric: auc}}}}}}
models:
  - name: churn
    policy: auc
    targets:
      - {{name: api, kind: azureml-online, workspace: "{workspace}", endpoint: {endpoint}}}
      - {{name: nightly, kind: azureml-batch, workspace: "{workspace}", endpoint: nightly, compute: cpu}}
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("azureml_first_look", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(folder: Path, uri: str, endpoint: str) -> str:
    path = folder / "watch.yaml"
    path.write_text(SETTINGS.format(uri=uri, workspace=SHORT, endpoint=endpoint))
    return str(path)


def test_what_holds_is_ok_and_what_nothing_shows_yet_is_open(
    bench: Bench, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = bench.launched(1)
    bench.shift((release, 100))
    rows = tmp_path / "rows.json"
    rows.write_bytes(house.EXAMPLE.body)
    bench.cloud.calls.clear()
    settings = written(tmp_path, sqlite_registry(tmp_path), bench.endpoint)
    assert script.main([settings, "--ask", str(rows)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert f"ok  {release.name} of {bench.endpoint} says in azureml-model-deployment that it answered" in "\n".join(
        told
    )
    assert [line for line in told if line.startswith("?")] == ["?   the batch endpoint nightly: it does not exist yet"]
    assert sum("Azure Monitor tells" in line for line in told) == 2
    changed = [call for call in bench.cloud.calls if not call.startswith("GET")]
    assert [call.partition("/")[0] + call.rpartition("/")[2] for call in changed] == [
        "POST listKeys",
        f"POST {bench.endpoint}",
    ]


def test_a_deployment_whose_operation_is_forgotten_hides_nothing_of_its_endpoint(
    bench: Bench, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.cloud.by_hand(bench.endpoint, "blue")
    assert script.main([written(tmp_path, sqlite_registry(tmp_path), bench.endpoint)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert (
        "?   the deployment blue names its operation, where a failure is told: Azure keeps that operation no more"
        in told
    )
    assert sum("Azure Monitor tells" in line for line in told) == 2


def test_what_does_not_hold_is_told_with_what_was_found(
    bench: Bench, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.launched(1)
    bench.cloud.unknown_metrics.add("RequestLatency_P95")
    bench.cloud.mute = True
    rows = tmp_path / "rows.json"
    rows.write_bytes(house.EXAMPLE.body)
    settings = written(tmp_path, sqlite_registry(tmp_path), bench.endpoint)
    assert script.main([settings, "--ask", str(rows)]) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("no")]
    assert len(told) == 2
    assert told[0].endswith("RequestLatency_P95 by deployment: there is no such metric")
    assert "200 by nobody" in told[1]


def test_settings_that_are_wrong_are_told_in_one_sentence(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([str(tmp_path / "nothing.yaml")]) == 2
    assert "nothing.yaml" in capsys.readouterr().err


class TestOnARegistry:
    @pytest.fixture
    def plane(self, tmp_path: Path) -> Iterator[AzurePlane]:
        with workspace(tmp_path) as found:
            yield found

    def test_the_registry_of_the_workspace_is_looked_at_too(
        self, plane: AzurePlane, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        world = AzureWorld(plane, tmp_path)
        world.create_version("churn", {"auc": 0.8})
        world.registry.set_champion("churn", 1)
        assert script.main([written(tmp_path, world.uri, "churn-api")]) == 0
        told = capsys.readouterr().out
        assert "ok  the registry lists its models in the order asked for: 1 models" in told
        assert "ok  churn has tags: watcher.champion" in told
        assert "?   the registry answers for aliases: ENDPOINT_NOT_FOUND" in told
