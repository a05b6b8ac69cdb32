"""MLflow's own registries for tests: a migrated database to copy, a server, and people who use them."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from tests.contract.registry_suite import World
from watcher.registry.mlflow import MlflowRegistry, build
from watcher.settings import RegistrySettings
from watcher.values import Signature

if TYPE_CHECKING:
    from mlflow import MlflowClient


@functools.cache
def template() -> Path:
    """A database that MLflow has migrated: a fresh one costs seconds, a copy milliseconds."""
    folder = tempfile.TemporaryDirectory(prefix="watcher-template-")
    _kept.append(folder)
    path = Path(folder.name) / "registry.db"
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{path}")
    store.engine.dispose()
    return path


_kept: list[tempfile.TemporaryDirectory[str]] = []


def sqlite_registry(folder: Path) -> str:
    """URI of a new, empty registry."""
    shutil.copyfile(template(), folder / "registry.db")
    return f"sqlite:///{folder / 'registry.db'}"


@contextlib.contextmanager
def server(backend: str, folder: Path, port: int | None = None) -> Iterator[str]:
    """`mlflow server` on a port of this machine, a free one where none is named, until the block ends."""
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", backend, "--artifacts-destination", str(folder / "artifacts")]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True)
        try:
            _answers(f"http://127.0.0.1:{port}/health", process, folder / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            if answer.status == 200:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"mlflow server did not start: {log.read_text()[-2000:]}")


class MlflowWorld(World):
    """A registry on MLflow's client, with names of its own where tests share one."""

    def __init__(self, uri: str, folder: Path, *, shared: bool = False) -> None:
        from mlflow import MlflowClient, __version__

        self.dangling = Version(__version__) < Version("3.17")
        self.registry: MlflowRegistry = build(RegistrySettings(uri, uri), os.environ)
        self.client: MlflowClient = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self.uri = uri
        self.folder = folder
        self._prefix = f"{uuid.uuid4().hex[:8]}-" if shared else ""
        location = None if uri.startswith("http") else (folder / "artifacts").as_uri()
        self.experiment = self.client.create_experiment(f"experiment-{uuid.uuid4().hex}", artifact_location=location)
        self.runs: dict[tuple[str, int], tuple[str, str]] = {}

    def name(self, text: str) -> str:
        return self._prefix + text

    def tick(self) -> None:
        start = time.time_ns() // 1_000_000
        while time.time_ns() // 1_000_000 <= start + 1:
            time.sleep(0.0005)

    def create_model(self, name: str) -> None:
        self.client.create_registered_model(name)

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
        from mlflow.exceptions import MlflowException

        with contextlib.suppress(MlflowException):
            self.client.create_registered_model(name)
        if not (files or metrics or pending):
            return int(self.client.create_model_version(name, "s3://nowhere/model", tags=dict(tags or {})).version)
        run = self.client.create_run(self.experiment)
        model_id = self.logged_model(run.info.run_id, signature, files=files, pending=pending)
        source = f"models:/{model_id}"
        version = self.client.create_model_version(
            name, source, run_id=run.info.run_id, tags=dict(tags or {}), model_id=model_id
        )
        self.runs[name, int(version.version)] = (run.info.run_id, model_id)
        for key, value in (metrics or {}).items():
            self.log_metric(name, int(version.version), key, value)
        return int(version.version)

    def logged_model(
        self, run_id: str, signature: Signature | None = None, *, files: bool = True, pending: bool = False
    ) -> str:
        """A logged model with the small files that MLflow writes beside a model."""
        model_id = str(self.client.create_logged_model(self.experiment, source_run_id=run_id).model_id)
        if files:
            with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                write_model_files(Path(scratch), model_id, signature)
                self.client.log_model_artifacts(model_id, scratch)
        if not pending:
            self.client.finalize_logged_model(model_id, "READY")
        return model_id

    @property
    def aliases(self) -> bool:
        """Whether marks are aliases here; else they are tags of the model."""
        return True

    def set_alias(self, name: str, alias: str, version: int) -> None:
        if self.aliases:
            self.client.set_registered_model_alias(name, alias, str(version))
        else:
            self.client.set_registered_model_tag(name, f"watcher.{alias}", str(version))

    def delete_alias(self, name: str, alias: str) -> None:
        if self.aliases:
            self.client.delete_registered_model_alias(name, alias)
        else:
            self.client.delete_registered_model_tag(name, f"watcher.{alias}")

    def delete_version(self, name: str, version: int) -> None:
        self.client.delete_model_version(name, str(version))

    def delete_model(self, name: str) -> None:
        self.client.delete_registered_model(name)

    def rename(self, name: str, new_name: str) -> None:
        self.client.rename_registered_model(name, new_name)

    def break_crown(self, name: str) -> None:
        self.client.set_registered_model_tag(name, "watcher.crown", "{crowned: ")

    def set_tag(self, name: str, version: int, key: str, value: str) -> None:
        self.client.set_model_version_tag(name, str(version), key, value)

    def log_metric(
        self, name: str, version: int, key: str, value: float, dataset: str | None = None, digest: str | None = None
    ) -> None:
        run_id, model_id = self.runs[name, version]
        self.client.log_metric(run_id, key, value, model_id=model_id, dataset_name=dataset, dataset_digest=digest)


def write_model_files(folder: Path, model_id: str, signature: Signature | None = None, **more: Any) -> None:
    """MLmodel, requirements and environment, as MLflow writes them; no model."""
    body: dict[str, Any] = {
        "flavors": {"python_function": {"loader_module": "x", "python_version": "3.11.7"}, "sklearn": {}},
        "mlflow_version": "3.15.0",
        "model_id": model_id,
    }
    if signature:
        body["signature"] = {
            "inputs": _columns(signature.inputs),
            "outputs": _columns(signature.outputs),
            "params": None,
        }
    (folder / "MLmodel").write_text(json.dumps(body | more))
    (folder / "requirements.txt").write_text("mlflow==3.15.0\nscikit-learn==1.7.2\n")
    (folder / "python_env.yaml").write_text("python: 3.11.7\ndependencies:\n- -r requirements.txt\n")


def _columns(columns: Any) -> str | None:
    if columns is None:
        return None
    fields = [
        {"type": c.type, "required": c.required} | ({"name": c.name} if c.name is not None else {}) for c in columns
    ]
    return json.dumps(fields)
