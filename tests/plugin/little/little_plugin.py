"""A deployments plugin that keeps its deployments in a folder: `little:/path`.

It does what plugins do: it blocks until a deployment is there, has no tags, and talks to stdout.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from mlflow.deployments import BaseDeploymentClient


class LittleClient(BaseDeploymentClient):
    """Deployments are files; what a test wants of the plugin stands in files beside them."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)  # type: ignore[no-untyped-call]  # MLflow's own
        self._folder = Path(uri.partition(":")[2])
        (self._folder / "deployments").mkdir(exist_ok=True)

    def _asked(self, verb: str, name: str | None) -> None:
        print(f"little plugin: {verb} {name}")  # noqa: T201 - as plugins do
        with (self._folder / "calls").open("a") as calls:
            calls.write(f"{verb} {name}\n")
        while (self._folder / f"blocked-{verb}").exists():
            time.sleep(0.01)
        if (self._folder / f"refused-{verb}").exists():
            raise RuntimeError((self._folder / f"refused-{verb}").read_text())

    def _write(self, name: str, body: dict[str, object]) -> None:
        """Whole or not at all: it is read while it is written."""
        whole = self._file(name)
        part = whole.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(body))
        part.replace(whole)

    def _file(self, name: str) -> Path:
        return self._folder / "deployments" / f"{name}.json"

    def _serve(self, name: str, model_uri: str, config: Any) -> dict[str, Any]:
        body = {"name": name, "model_uri": model_uri, "config": config}
        if not (Path(model_uri) / "MLmodel").is_file():
            raise FileNotFoundError(f"there is no MLmodel in {model_uri}")
        self._write(name, body)
        return body

    def create_deployment(
        self, name: str, model_uri: str, flavor: Any = None, config: Any = None, endpoint: Any = None
    ) -> Any:
        self._asked("create", name)
        if self._file(name).exists():
            raise RuntimeError(f"{name} exists")
        # Half of it is there before the whole is.
        self._write(name, {"name": name, "model_uri": ""})
        self._asked("wait", name)
        try:
            return self._serve(name, model_uri, config)
        except FileNotFoundError:
            self._file(name).unlink()
            raise

    def update_deployment(
        self, name: str, model_uri: Any = None, flavor: Any = None, config: Any = None, endpoint: Any = None
    ) -> Any:
        self._asked("update", name)
        if not self._file(name).exists():
            raise RuntimeError(f"{name} does not exist")
        return self._serve(name, model_uri, config)

    def delete_deployment(self, name: str, config: Any = None, endpoint: Any = None) -> Any:
        self._asked("delete", name)
        self._file(name).unlink()

    def list_deployments(self, endpoint: Any = None) -> Any:
        self._asked("list", None)
        return [json.loads(file.read_text()) for file in (self._folder / "deployments").glob("*.json")]

    def get_deployment(self, name: str, endpoint: Any = None) -> Any:
        return json.loads(self._file(name).read_text())

    def predict(self, deployment_name: Any = None, inputs: Any = None, endpoint: Any = None) -> Any:
        self._asked("predict", deployment_name)
        served = json.loads(self._file(deployment_name).read_text())
        return {"predictions": [served["model_uri"]], "rows": len(inputs)}


def run_local(target: str, name: str, model_uri: str, flavor: Any = None, config: Any = None) -> None:
    """No such thing."""
    raise NotImplementedError


def target_help() -> str:
    """What `mlflow deployments help` shows."""
    return "little:/path/to/a/folder"
