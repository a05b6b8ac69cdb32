"""The scripts that run inside our deployments, on a real model of MLflow, in a container that is stood in for."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import requests

from deployers.azureml import assets
from deployers.azureml.assets import conda_of
from gateway import environments
from tests.gateway import reference, world

pytestmark = pytest.mark.slow


class _Response(SimpleNamespace):
    """`AMLResponse` of Azure's inference server: what is given to it."""

    def __init__(self, message: Any, status: int, headers: dict[str, str]) -> None:
        super().__init__(message=message, status=status, headers=headers)


def _script(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("score_of_a_test", folder / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def container(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What Azure's container has, and the model where it is mounted: a folder above."""
    request, response = (
        ModuleType("azureml_inference_server_http.api.aml_request"),
        ModuleType("azureml_inference_server_http.api.aml_response"),
    )
    request.rawhttp = lambda function: function  # type: ignore[attr-defined]
    response.AMLResponse = _Response  # type: ignore[attr-defined]
    for name in ("azureml_inference_server_http", "azureml_inference_server_http.api"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, request.__name__, request)
    monkeypatch.setitem(sys.modules, response.__name__, response)
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(world.linear().parent))
    monkeypatch.setenv("WATCHER_VERSION", "7")
    yield
    sys.modules.pop("score_of_a_test", None)


def _asked(script: Any, body: bytes, kind: str = "application/json") -> Any:
    return script.run(SimpleNamespace(headers={"Content-Type": kind}, get_data=lambda: body))


def test_an_online_deployment_answers_in_mlflows_own_protocol() -> None:
    script = _script(assets.ONLINE.folder)
    script.init()
    said = _asked(script, world.BODY)
    assert (said.status, said.headers) == (200, {"Content-Type": "application/json"})
    assert "predictions" in json.loads(said.message)


@pytest.mark.parametrize(("body", "kind", "status"), [(b"{", "application/json", 400), (b"x", "text/html", 415)])
def test_what_cannot_be_scored_is_refused_as_mlflow_does(body: bytes, kind: str, status: int) -> None:
    script = _script(assets.ONLINE.folder)
    script.init()
    assert _asked(script, body, kind).status == status


def test_a_batch_deployment_gives_each_row_its_prediction_its_file_and_the_version(tmp_path: Path) -> None:
    split = json.loads(world.BODY)["dataframe_split"]
    rows = [dict(zip(split["columns"], values, strict=True)) for values in split["data"]] * 3
    (tmp_path / "one.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    header = ",".join(split["columns"])
    lines = [",".join(str(value) for value in values) for values in split["data"]]
    (tmp_path / "two.csv").write_text("\n".join([header, *lines]) + "\n")
    script = _script(assets.BATCH.folder)
    script.init()
    found = script.run([str(tmp_path / "one.jsonl"), str(tmp_path / "two.csv")])
    assert len(found) == len(rows) + len(lines)
    assert set(found["file"]) == {"one.jsonl", "two.csv"}
    assert set(found["model_version"]) == {"7"}
    assert found["prediction_0"].notna().all()


@contextlib.contextmanager
def azures_own_server(folder: Path, model: Path) -> Iterator[int]:
    """The port of the server that our deployments run, in an environment with the packages that we name for it."""
    uv, python = environments.uv(), folder / "env" / "bin" / "python"
    assert uv is not None
    named = json.loads(conda_of(str(model), None, folder, assets.ONLINE.packages))["dependencies"][-1]["pip"]
    pip = [*named, f"mlflow=={metadata.version('mlflow')}"]
    for command in (
        [uv, "venv", "--quiet", "--no-config", "--python", sys.executable, str(folder / "env")],
        [uv, "pip", "install", "--quiet", "--python", str(python), *pip],
    ):
        subprocess.run(command, check=True, timeout=600)
    port, script = world.free_port(), assets.ONLINE.folder / "score.py"
    command = [str(python.with_name("azmlinfsrv")), "--entry_script", str(script), "--port", str(port)]
    path = os.pathsep.join((str(python.parent), os.environ["PATH"]))
    env = os.environ | {"AZUREML_MODEL_DIR": str(model.parent), "PATH": path}
    with subprocess.Popen(
        command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            world.wait_until(lambda: _is_healthy(port), 120.0)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _is_healthy(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=2).status_code == 200
    except requests.RequestException:
        return False


@pytest.mark.long
def test_azures_own_server_gives_the_answers_of_mlflows_with_our_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap = Path(__file__).parents[2] / ".venv-uv" / "bin"
    monkeypatch.setenv("PATH", os.pathsep.join((os.environ["PATH"], str(bootstrap))))
    rows = {"instances": [dict(zip(world.COLUMNS, world.ROW, strict=True))] * 3}
    model = world.linear()
    with azures_own_server(tmp_path, model) as ours, reference.serving(model) as theirs:
        for body, kind, status in (
            (world.BODY, "application/json", 200),
            (json.dumps(rows).encode(), "application/json; charset=utf-8", 200),
            (f"{','.join(world.COLUMNS)}\n1,2,3,4\n".encode(), "text/csv", 200),
            (b"{", "application/json", 400),
            (json.dumps({"inputs": "x"}).encode(), "application/json", 400),
            (b"x", "text/html", 415),
        ):
            said, expected = (
                requests.post(f"http://127.0.0.1:{port}/{path}", data=body, headers={"Content-Type": kind}, timeout=30)
                for port, path in ((ours, "score"), (theirs, "invocations"))
            )
            assert (said.status_code, said.content) == (expected.status_code, expected.content)
            assert said.status_code == status
            assert said.headers["Content-Type"].partition(";")[0] == expected.headers["Content-Type"].partition(";")[0]


def test_a_folder_without_a_model_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path))
    for serving in (assets.ONLINE, assets.BATCH):
        with pytest.raises(FileNotFoundError, match="no MLmodel"):
            _script(serving.folder).init()
