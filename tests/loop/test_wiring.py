"""From a settings file to ports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from watcher import wiring
from watcher.config import ConfigError

SETTINGS = """
version: 1
owner: me
registry: {{uri: "sqlite:///{folder}/mlflow.db"}}
policies:
  p: {{primary: {{metric: auc}}}}
models:
  - {{name: churn, policy: p, targets: [{target}]}}
"""


def app(folder: Path, target: str) -> wiring.App:
    path = folder / "watch.yaml"
    path.write_text(SETTINGS.format(folder=folder, target=target))
    return wiring.load(path, {})


def test_a_local_endpoint_without_environments_of_its_own_is_judged_by_what_is_installed(tmp_path: Path) -> None:
    watched = app(tmp_path, "{name: api, kind: local-endpoint, port: 5001, env: local}").watched("churn")
    assert watched is not None
    environment = watched.targets[0].settings["environment"]
    assert environment["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert environment["packages"]["mlflow"]


def test_building_everything_imports_no_sdk_and_touches_nothing(tmp_path: Path) -> None:
    before = set(sys.modules)
    app(tmp_path, "{name: api, kind: local-endpoint, port: 5001}")
    assert not {name for name in set(sys.modules) - before if name.split(".")[0] in ("mlflow", "azure", "databricks")}
    assert not (tmp_path / "mlflow.db").exists()
    assert not (tmp_path / "state" / "gateway").exists()


def test_a_kind_that_does_not_exist_is_a_mistake_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="azureml-onlin"):
        app(tmp_path, "{name: api, kind: azureml-onlin, workspace: w, endpoint: e}")


def test_a_model_that_the_file_does_not_name_is_not_watched(tmp_path: Path) -> None:
    assert app(tmp_path, "{name: api, kind: local-endpoint, port: 5001}").watched("other") is None
