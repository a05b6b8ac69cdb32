"""From a settings file to ports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import deployers
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


def test_whether_a_model_is_watched_asks_nothing_of_its_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll asks it of every model of the registry."""
    found = app(tmp_path, "{name: api, kind: local-endpoint, port: 5001}")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a target was looked at")

    for name in ("shape", "place", "environment"):
        monkeypatch.setattr(deployers, name, refuse)
    assert [name for name in ("churn", "Churn", "other", "") if found.watches(name)] == ["churn"]


def test_a_model_of_which_two_patterns_speak_is_watched_so_that_its_wake_up_can_say_so(tmp_path: Path) -> None:
    path = tmp_path / "watch.yaml"
    text = SETTINGS.format(folder=tmp_path, target="").replace("name: churn", 'match: "churn*", mode: advise')
    path.write_text(text + '  - {match: "*.eu", policy: p, mode: advise}\n')
    found = wiring.load(path, {})
    assert [name for name in ("churn", "x.eu", "churn.eu", "x") if found.watches(name)] == ["churn", "x.eu", "churn.eu"]
    with pytest.raises(ConfigError, match="matches"):
        found.watched("churn.eu")


def test_a_model_that_the_file_does_not_name_is_not_watched(tmp_path: Path) -> None:
    assert app(tmp_path, "{name: api, kind: local-endpoint, port: 5001}").watched("other") is None
