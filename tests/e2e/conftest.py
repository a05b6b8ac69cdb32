"""Registries and one gateway for whole runs; every process that was started here ends here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import Bed
from tests.gateway import world as gateway
from tests.registry.mlflow_world import server, sqlite_registry
from tests.registry.postgres import postgres


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with gateway.running(tmp_path_factory.mktemp("gateway")) as path:
        yield path


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Bed:
    folder = tmp_path_factory.mktemp("sqlite")
    return Bed(folder, sqlite_registry(folder), home)


@pytest.fixture(scope="session")
def http(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("http")
    with server(sqlite_registry(folder), folder) as uri:
        yield Bed(folder, uri, home)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[Bed]:
    """A registry on Postgres."""
    with postgres() as uri:
        yield Bed(tmp_path_factory.mktemp("postgres"), uri, home)


@pytest.fixture(autouse=True)
def tracking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own ways of finding artifacts know only the environment."""
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    for name in ("sqlite", "http", "database"):
        if name in request.fixturenames:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue(name).uri)
