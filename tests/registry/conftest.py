"""One empty registry of MLflow's own for each test, in a copied database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.registry.mlflow_world import MlflowWorld, sqlite_registry


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowWorld:
    uri = sqlite_registry(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowWorld(uri, tmp_path)
