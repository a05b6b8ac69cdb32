"""A model that does harm when it is unpickled does it to nobody but the process of its own release."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway import world as gateway
from tests.gateway.world import Endpoint
from tests.registry.mlflow_world import MlflowWorld, sqlite_registry

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
SETTINGS = """\
version: 1
owner: me
registry: {uri: "sqlite:///registry.db"}
ledger: sqlite:///state/ledger.db
policies:
  binary: {primary: {metric: auc}, signature: false}
models:
  - {name: churn, mode: advise, policy: binary}
"""
WATCHER = """\
import sys
from watcher.cli.main import main
commands = ["tick"], ["explain", "churn", sys.argv[1]], ["plan"]
sys.exit(max(main([*command, "--json"]) for command in commands))
"""


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}; kill -9 $PPID",)


@pytest.fixture(scope="module")
def marker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bomb") / "went-off"


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory, marker: Path) -> Path:
    """A model as MLflow saves it, with the bomb in place of every pickle, and as its code and its example too."""
    path = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(gateway.linear("pickle"), path)
    pickles = [file for file in path.rglob("*") if file.suffix == ".pkl"]
    assert pickles
    for file in (*pickles, path / "python_model.pkl", path / "input_example.pkl"):
        file.write_bytes(pickle.dumps(Bomb(marker)))
    return path


def test_the_watcher_judges_and_explains_it_and_never_unpickles_it(bomb: Path, marker: Path, tmp_path: Path) -> None:
    uri = sqlite_registry(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        world = MlflowWorld(uri, tmp_path)
        version = world.create_version("churn", {"auc": 0.9})
        _, model_id = world.runs["churn", version]
        world.client.log_model_artifacts(model_id, str(bomb))
    (tmp_path / "watch.yaml").write_text(SETTINGS)
    # In a process of its own, which the bomb would end.
    done = subprocess.run(
        [sys.executable, "-c", WATCHER, str(version)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tick, explain, _ = map(json.loads, done.stdout.splitlines())
    assert not marker.exists()
    assert not list(tmp_path.glob("**/went-off"))
    findings = {finding["rule"]: finding for finding in explain["findings"]}
    assert (findings["evidence_readable"]["call"], findings["artifacts_present"]["call"]) == ("wins", "wins")
    assert explain["call"] == "wins"
    assert tick[0]["model"] == "churn"


def test_on_an_endpoint_it_fails_its_own_release_and_the_champion_goes_on(
    bomb: Path, marker: Path, tmp_path: Path
) -> None:
    with gateway.running(tmp_path / "gateway") as home:
        endpoint = Endpoint(home).serving(gateway.linear())
        endpoint.launch("r2", bomb, 2)
        assert endpoint.settled("r2")["state"] == "failed"
        assert marker.exists()
        answer = endpoint.ask()
        assert (answer.status, answer.release) == (200, "r1")
        assert endpoint.state["weights"] == {"r1": 100}
