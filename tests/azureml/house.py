"""What tests of Azure ML share: the cloud behind HTTPS, models with files, a deployer on the cloud's clock."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import deployers
from deployers.azureml.online import AzureOnline
from tests.azureml.cloud import SHORT, Cloud
from tests.azureml.server import serving
from tests.registry.mlflow_world import write_model_files
from watcher.naming import release_name
from watcher.values import (
    Example,
    Identity,
    Kind,
    Observed,
    Release,
    SeenRelease,
    Status,
    Target,
    Version,
)

MODEL = "prod.risk.churn"
EXAMPLE = Example(json.dumps({"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}).encode(), rows=1)
CONDA = """\
channels: [conda-forge]
dependencies:
- python=3.11.7
- pip<=24
- pip: [mlflow==3.15.0, scikit-learn==1.7.2]
name: mlflow-env
"""


@contextmanager
def azure(cloud: Cloud) -> Iterator[None]:
    """The process takes the cloud for Azure; storage accounts of localhost are on loopback."""
    look_up = socket.getaddrinfo

    def found(host: Any, *more: Any, **named: Any) -> Any:
        there = isinstance(host, str) and host.endswith(".localhost")
        return look_up("127.0.0.1" if there else host, *more, **named)

    # Else MLflow makes a database in the current folder, where a deployer has no tracking URI.
    nowhere = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    with (
        serving(cloud) as environment,
        patch.dict(os.environ, environment | nowhere),
        patch.object(socket, "getaddrinfo", found),
    ):
        os.environ.pop("AZUREML_CURRENT_CLOUD", None)
        yield


def model_files(folder: Path, number: int = 1) -> Path:
    """A model's folder as MLflow writes it; no model in it."""
    made = folder / f"model-{number}"
    if not made.exists():
        made.mkdir(parents=True)
        write_model_files(made, f"m-{number}")
        (made / "conda.yaml").write_text(CONDA)
        (made / "weights.bin").write_bytes(bytes([number]) * 100)
    return made


def version_of(number: int, artifacts: Path, model: str = MODEL) -> Version:
    identity = Identity(model, number, 1_700_000_000_000 + number, str(artifacts))
    place = "https://registry.test/mlflow"
    return Version(identity, Status.READY, str(artifacts), run_id=f"run-{number}", registry=place)


def target_at(endpoint: str | None = None, **more: Any) -> Target:
    settings = {"workspace": SHORT, "endpoint": endpoint or f"churn-{uuid.uuid4().hex[:8]}", **more}
    place = deployers.place("azureml-online", settings)
    return Target("api", "azureml-online", Kind.ENDPOINT, MODEL, "tests", place, settings)


def batch_target_at(endpoint: str | None = None, **more: Any) -> Target:
    name = endpoint or f"churn-{uuid.uuid4().hex[:8]}"
    settings = {"workspace": SHORT, "endpoint": name, "compute": "cpu", **more}
    place = deployers.place("azureml-batch", settings)
    return Target("nightly", "azureml-batch", Kind.BATCH, MODEL, "tests", place, settings)


def deployer_on(cloud: Cloud) -> AzureOnline:
    return AzureOnline(None, clock=cloud.clock, sleep=cloud.sleep)


def waiting(cloud: Cloud) -> Callable[[Callable[[], bool]], None]:
    """Lets the cloud's time pass until something holds: in steps that grow, since each look costs calls."""

    def wait(condition: Callable[[], bool]) -> None:
        for minutes in (0.1, 0.2, 0.5, 1, 2, 3, 4, 5, 5, 5, 5):
            if condition():
                return
            cloud.sleep(60.0 * minutes)
        assert condition(), "it did not come to be within half an hour"

    return wait


class Bench:
    """A deployer, one target of it, and the cloud behind the two."""

    def __init__(self, cloud: Cloud, deployer: AzureOnline, target: Target, models: Path) -> None:
        self.cloud, self.deployer, self.target, self._models = cloud, deployer, target, models

    @property
    def endpoint(self) -> str:
        return str(self.target.settings["endpoint"])

    def version(self, number: int) -> Version:
        return version_of(number, model_files(self._models, number))

    def release(self, number: int) -> Release:
        version = self.version(number)
        return Release(self.target, release_name(version.identity), version)

    def observe(self) -> Observed:
        return self.deployer.observe(self.target)

    def seen(self, number: int) -> SeenRelease | None:
        return self.observe().release(self.release(number).name)

    def launched(self, number: int) -> Release:
        release = self.release(number)
        self.deployer.launch(release)
        self.cloud.sleep(self.cloud.deployment_seconds + 5)
        return release

    def shift(self, *shares: tuple[Release, int]) -> None:
        self.deployer.shift(self.target, {release.name: share for release, share in shares}, self.observe().token)

    def deployments(self) -> set[str]:
        return set(self.cloud.endpoints[self.endpoint].deployments)

    def body(self, release: Release) -> dict[str, Any]:
        """What the deployment was created with."""
        return self.cloud.endpoints[self.endpoint].deployments[release.name].body
