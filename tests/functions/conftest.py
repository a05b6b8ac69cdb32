from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.azurite import Azurite
from tests.functions.bed import Bed
from tests.registry.mlflow_world import server, sqlite_registry

FERNET = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
"""The key that MLflow encrypts webhook secrets with: of this test's server only."""


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that may send webhooks to this machine."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http")
        environ.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
        environ.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", FERNET)
        environ.setenv("MLFLOW_WEBHOOK_CACHE_TTL", "0")
        with server(sqlite_registry(folder), folder) as url:
            yield url


@pytest.fixture
def bed(tmp_path: Path, mlflow_server: str, azurite: Azurite) -> Iterator[Bed]:
    made = Bed(tmp_path, mlflow_server, azurite)
    made.wakes().clear_messages()
    yield made
    made.wakes().clear_messages()
