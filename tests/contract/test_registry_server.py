"""MLflow's client on a real `mlflow server` keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.registry_suite import RegistrySuite, World
from tests.registry.mlflow_world import MlflowWorld, server, sqlite_registry

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with server(sqlite_registry(folder), folder) as address:
        yield address


class TestServerRegistry(RegistrySuite):
    @pytest.fixture
    def world(self, uri: str, tmp_path: Path) -> World:
        return MlflowWorld(uri, tmp_path, shared=True)
