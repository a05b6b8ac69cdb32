"""A workspace's registry in the hands of people and training jobs, on loopback."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.azureml import house
from tests.azureml.cloud import WORKSPACE_ID, Cloud
from tests.azureml.registry_plane import AzurePlane
from tests.registry.mlflow_world import MlflowWorld, sqlite_registry, write_model_files
from watcher.registry.mlflow import build
from watcher.settings import RegistrySettings
from watcher.values import Signature


@contextlib.contextmanager
def workspace(folder: Path) -> Iterator[AzurePlane]:
    """A workspace whose registry is empty; its identity is this host's."""
    cloud = Cloud()
    plane = AzurePlane(sqlite_registry(folder), folder / "files", cloud=cloud)
    cloud.registry = plane.reply
    with house.azure(cloud), pytest.MonkeyPatch.context() as environment:
        # The store behind resolves the sources of what training registers.
        environment.setenv("MLFLOW_TRACKING_URI", plane.database)
        yield plane
    assert not cloud.wrong, cloud.wrong


def uri_of(plane: AzurePlane) -> str:
    """The registry's address, as `az ml workspace show` prints it."""
    return f"azureml://{plane.cloud.base.removeprefix('https://')}/mlflow/v1.0{WORKSPACE_ID}"


class AzureWorld(MlflowWorld):
    """People come through MLflow's own client; what training writes is there at once."""

    def __init__(self, plane: AzurePlane, folder: Path, marks: str = "auto") -> None:
        from mlflow import MlflowClient

        self.plane, self.folder, self.uri = plane, folder, uri_of(plane)
        self.dangling = True
        self.registry = build(RegistrySettings(self.uri, self.uri, marks), os.environ)
        self.registry.names()
        self.client = MlflowClient(tracking_uri=plane.database, registry_uri=self.uri)
        self._prefix = f"{uuid.uuid4().hex[:8]}-"
        self.experiment = self.client.create_experiment(
            f"experiment-{uuid.uuid4().hex}", artifact_location=(folder / "artifacts").as_uri()
        )
        self.runs: dict[tuple[str, int], tuple[str, str]] = {}

    def create_version(
        self,
        name: str,
        metrics: Mapping[str, float] | None = None,
        signature: Signature | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        files: bool = True,
        pending: bool = False,
    ) -> int:
        from mlflow.entities.model_registry import ModelVersionTag
        from mlflow.exceptions import MlflowException

        with contextlib.suppress(MlflowException):
            self.client.create_registered_model(name)
        run = self.client.create_run(self.experiment).info.run_id
        source = f"azureml://experiments/churn/runs/{run}/artifacts/model"
        given: dict[str, Any] = {"tags": [ModelVersionTag(k, v) for k, v in (tags or {}).items()], "run_id": run}
        found = self.plane.store.create_model_version(name, source, **given)
        key = (name, int(found.version))
        host = self.plane.cloud.base.removeprefix("https://")
        self.plane.located[key] = (
            f"azureml://{host}/mlflow/v2.0{WORKSPACE_ID}/experiments/churn/runs/{run}/artifacts/model"
        )
        if pending:
            self.plane.statuses[key] = "PENDING_REGISTRATION"
        self.runs[key] = (run, "")
        self.plane.stored[run] = {"logs/std.log": b"trained"}
        if files:
            with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                write_model_files(Path(scratch), "m-1", signature)
                for file in Path(scratch).iterdir():
                    self.keep(name, key[1], file.name, file.read_bytes())
        for metric, value in (metrics or {}).items():
            self.log_metric(name, key[1], metric, value)
        return key[1]

    def keep(self, name: str, version: int, file: str, content: bytes) -> None:
        """One more file of a version."""
        self.plane.stored[self.runs[name, version][0]][f"model/{file}"] = content

    @property
    def aliases(self) -> bool:
        return self.plane.aliases

    def delete_model(self, name: str) -> None:
        """By other means: MLflow's client is refused that."""
        self.plane.store.delete_registered_model(name)

    def rename(self, name: str, new_name: str) -> None:
        self.plane.store.rename_registered_model(name, new_name)

    def log_metric(
        self, name: str, version: int, key: str, value: float, dataset: str | None = None, digest: str | None = None
    ) -> None:
        self.client.log_metric(self.runs[name, version][0], key, value)
