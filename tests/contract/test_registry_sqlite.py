"""MLflow's client on a database of its own keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.registry_suite import RegistrySuite, World
from tests.registry.mlflow_world import MlflowWorld, sqlite_registry

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return sqlite_registry(tmp_path_factory.mktemp("registry"))


class TestSqliteRegistry(RegistrySuite):
    @pytest.fixture
    def world(self, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return MlflowWorld(uri, tmp_path, shared=True)
