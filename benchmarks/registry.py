"""Registries made in bulk, written into MLflow's own tables after one migration, and `mlflow server` on one of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from benchmarks.bench import Bench, BenchError, free_port, started, until
from watcher.registry.tags import CROWN, crown_text
from watcher.values import Crown

if TYPE_CHECKING:
    from sqlalchemy import Connection

NEWEST_MS = 1_700_000_000_000
"""When the most recently touched model was touched: long ago, so that nothing is within the poll's overlap but it."""
APART_MS = 900_000
"""Between two models. An idle registry is one in which little happens: with all of them touched within ten minutes
the first poll would read them all, once."""
AT_ONCE = 20_000
"""Rows of one INSERT."""
STARTED = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Of the environment that every process is started in: no processes that a registry does not need."""


def names(models: int) -> list[str]:
    """Of the seeded models."""
    return [f"bench.m{number:05}" for number in range(models)]


def template(bench: Bench) -> Path:
    """A database that MLflow has migrated, empty. Made once a run."""
    if "template" not in bench.cache:
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore

        path = bench.fresh("template") / "registry.db"
        SqlAlchemyStore(f"sqlite:///{path}").engine.dispose()
        TrackingStore(f"sqlite:///{path}", str(path.parent / "artifacts")).engine.dispose()
        bench.cache["template"] = path
    return bench.cache["template"]


def copied(bench: Bench) -> Path:
    """An empty registry of its own."""
    path = bench.fresh("registry") / "registry.db"
    shutil.copyfile(template(bench), path)
    return path


def seeded(bench: Bench, models: int, versions: int) -> Path:
    """A registry with so many models of so many versions, each with a run and its metric; the newest is champion."""
    key = f"registry-{models}-{versions}"
    if key not in bench.cache:
        path = copied(bench)
        fill(path, models, versions)
        bench.cache[key] = path
    copy = bench.fresh("registry") / "registry.db"
    shutil.copyfile(bench.cache[key], copy)
    return copy


def fill(path: Path, models: int, versions: int) -> None:
    """Write the rows."""
    import sqlalchemy
    from mlflow.store.model_registry.dbmodels import models as registry
    from mlflow.store.tracking.dbmodels import models as tracking

    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        every, touched = names(models), [NEWEST_MS - APART_MS * number for number in range(models)]
        _insert(
            connection,
            registry.SqlRegisteredModel,
            (
                {"workspace": "default", "name": name, "creation_time": at, "last_updated_time": at}
                for name, at in zip(every, touched, strict=True)
            ),
        )
        champion = {"workspace": "default", "alias": "champion", "version": versions}
        _insert(connection, registry.SqlRegisteredModelAlias, ({**champion, "name": name} for name in every))
        crown = crown_text(Crown(crowned=versions, floor=versions, n=1))
        tag = {"workspace": "default", "key": CROWN, "value": crown}
        _insert(connection, registry.SqlRegisteredModelTag, ({**tag, "name": name} for name in every))
        where = str(path.parent / "artifacts")
        runs = {(name, number): uuid.uuid4().hex for name in every for number in range(1, versions + 1)}
        _insert(
            connection,
            registry.SqlModelVersion,
            (
                {
                    "workspace": "default",
                    "name": name,
                    "version": number,
                    "creation_time": NEWEST_MS,
                    "last_updated_time": NEWEST_MS,
                    "current_stage": "None",
                    "source": f"{where}/{run}/artifacts/model",
                    "storage_location": f"{where}/{run}/artifacts/model",
                    "run_id": run,
                    "status": "READY",
                }
                for (name, number), run in runs.items()
            ),
        )
        about = {"experiment_id": 0, "status": "FINISHED", "lifecycle_stage": "active", "source_type": "UNKNOWN"}
        times = {"start_time": NEWEST_MS, "end_time": NEWEST_MS, "user_id": "bench", "name": "run", "source_name": ""}
        _insert(
            connection,
            tracking.SqlRun,
            ({"run_uuid": run, "artifact_uri": f"{where}/{run}/artifacts", **about, **times} for run in runs.values()),
        )
        metric = {"key": "auc", "value": 0.8, "timestamp": NEWEST_MS, "step": 0, "is_nan": False}
        _insert(connection, tracking.SqlLatestMetric, ({"run_uuid": run, **metric} for run in runs.values()))
    engine.dispose()


def _insert(connection: Connection, model: Any, rows: Iterator[Mapping[str, Any]]) -> None:
    batch: list[Mapping[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= AT_ONCE:
            connection.execute(model.__table__.insert(), batch)
            batch = []
    if batch:
        connection.execute(model.__table__.insert(), batch)


@contextlib.contextmanager
def server(database: Path) -> Iterator[tuple[str, int]]:
    """`mlflow server` with one worker process, until the block ends: its address, and its pid."""
    port, log = free_port(), database.parent / "server.log"
    arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    arguments += ["--backend-store-uri", f"sqlite:///{database}"]
    arguments += ["--artifacts-destination", str(database.parent / "artifacts")]
    with started(["-m", "mlflow", *arguments], log) as process:
        address = f"http://127.0.0.1:{port}"
        until(lambda: _healthy(address) or process.poll() is not None, "an answer of `mlflow server`", every=0.1)
        if process.poll() is not None:
            raise BenchError(f"`mlflow server` ended: {log.read_text()[-500:]}")
        yield address, process.pid


def _healthy(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310 - our own address
        return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
    return False


class Trainer:
    """Registers versions as a training job does, each with a run, a logged model, its artifacts and a metric."""

    def __init__(self, address: str) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=address, registry_uri=address)

    def create(self, name: str) -> None:
        """A registered model without versions."""
        self._client.create_registered_model(name)

    def champion(self, name: str) -> int | None:
        found = self._client.get_registered_model(name).aliases.get("champion")
        return None if found is None else int(found)

    def register(self, name: str, auc: float, artifacts: Path) -> int:
        """The number of the new version."""
        client = self._client
        run = client.create_run("0").info.run_id
        model = client.create_logged_model("0", source_run_id=run).model_id
        client.log_model_artifacts(model, str(artifacts))
        client.finalize_logged_model(model, "READY")
        client.log_metric(run, "auc", auc, model_id=model)
        return int(client.create_model_version(name, f"models:/{model}", run_id=run, model_id=model).version)


@dataclass
class Counted:
    """HTTP requests of this process."""

    calls: int = 0


@contextlib.contextmanager
def counted() -> Iterator[Counted]:
    """Counts what MLflow's client really sends, its own retries and fallbacks included."""
    import requests

    found, send = Counted(), requests.Session.send

    def counting(session: requests.Session, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        found.calls += 1
        return send(session, request, **more)

    with mock.patch.object(requests.Session, "send", counting):
        yield found


def set_environment() -> None:
    """For this process and all that it starts."""
    os.environ.update(STARTED)
