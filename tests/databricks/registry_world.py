"""A workspace's two registries in the hands of people and training jobs, on loopback."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from tests.databricks.control_plane import TOKEN, Workspace, serving
from tests.databricks.registry_plane import Registries
from tests.registry.mlflow_world import MlflowWorld, sqlite_registry, write_model_files
from watcher.registry.dialects import tracking_of
from watcher.registry.mlflow import build
from watcher.settings import RegistrySettings
from watcher.values import Signature


@contextlib.contextmanager
def workspace(folder: Path) -> Iterator[Workspace]:
    """A workspace whose registries are empty; its address and token are in the environment, as for the SDK."""
    plane = Registries(sqlite_registry(folder), folder / "files")
    with serving(Workspace(registries=plane)) as running, pytest.MonkeyPatch.context() as environment:
        plane.url = lambda: running.url
        # The store behind resolves the sources of what training registers.
        environment.setenv("MLFLOW_TRACKING_URI", plane.database)
        environment.setenv("DATABRICKS_HOST", running.url)
        environment.setenv("DATABRICKS_TOKEN", TOKEN)
        environment.setenv("DATABRICKS_CONFIG_FILE", str(folder / "no-profiles"))
        yield running


class DatabricksWorld(MlflowWorld):
    """One of the two registries. People come through MLflow's own client; what training writes is there at once."""

    def __init__(self, uri: str, running: Workspace, folder: Path) -> None:
        from mlflow import MlflowClient, __version__

        assert running.registries is not None
        self.plane = running.registries
        self.catalog = uri.startswith("databricks-uc")
        self.dangling = not self.catalog or Version(__version__) < Version("3.17")
        self.registry = build(RegistrySettings(uri, tracking_of(uri)), os.environ)
        self.client = MlflowClient(tracking_uri=self.plane.database, registry_uri=uri)
        self.uri, self.folder = uri, folder
        self._prefix = f"{uuid.uuid4().hex[:8]}-"
        self.experiment = self.client.create_experiment(
            f"experiment-{uuid.uuid4().hex}", artifact_location=(folder / "artifacts").as_uri()
        )
        self.runs: dict[tuple[str, int], tuple[str, str]] = {}

    def name(self, text: str) -> str:
        return ("main.risk." if self.catalog else "") + self._prefix + text

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
        given: dict[str, Any] = {"tags": [ModelVersionTag(k, v) for k, v in (tags or {}).items()]}
        source = "dbfs:/somewhere/model"
        if files or metrics or pending:
            run_id = self.client.create_run(self.experiment).info.run_id
            model_id = self.logged_model(run_id, signature, files=files, pending=pending)
            source, given["run_id"] = f"models:/{model_id}", run_id
        found = self.plane.store.create_model_version(name, source, **given)
        key = (name, int(found.version))
        if pending:
            self.plane.statuses[key] = "PENDING_REGISTRATION"
        if "run_id" in given:
            self.runs[key] = (run_id, model_id)
            self.plane.inline[key] = model_id
            self.keep(name, key[1], model_id, signature, files=files)
        for metric, value in (metrics or {}).items():
            self.log_metric(name, key[1], metric, value)
        return key[1]

    def keep(self, name: str, version: int, model_id: str, signature: Signature | None, *, files: bool) -> None:
        """The registry's own copy of the files."""
        if files:
            folder = self.plane.folder(name, version)
            folder.mkdir(parents=True)
            write_model_files(folder, model_id, signature)

    @property
    def aliases(self) -> bool:
        return self.catalog

    def break_crown(self, name: str) -> None:
        self.client.set_registered_model_tag(name, "watcher_crown" if self.catalog else "watcher.crown", "{crowned: ")

    def set_tag(self, name: str, version: int, key: str, value: str) -> None:
        spelled = key.replace(".", "_") if self.catalog else key
        self.client.set_model_version_tag(name, str(version), spelled, value)
