"""Gateways, models and clients for tests. Models are made once a run."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import http.client
import json
import shutil
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway import control, processes
from gateway.paths import home as home_of

COLUMNS = [f"c{n}" for n in range(4)]
ROW = [0.5, -1.25, 3.0, 0.125]
BODY = json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [ROW]}}).encode()
JSON = {"Content-Type": "application/json"}
PATIENCE = 60.0


@functools.cache
def folder() -> Path:
    """A folder of this run, removed at its end."""
    made = Path(tempfile.mkdtemp(prefix="gateway-tests-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def linear(form: str = "skops") -> Path:
    """A scaled linear model over four doubles."""
    return _linear(form)


@functools.cache
def _linear(form: str) -> Path:
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    generator = np.random.default_rng(7)
    frame = pd.DataFrame(generator.normal(size=(60, len(COLUMNS))), columns=COLUMNS)
    model = make_pipeline(StandardScaler(), Ridge()).fit(frame, frame.sum(axis=1))
    path = folder() / f"linear-{form}"
    mlflow.sklearn.save_model(
        model,
        str(path),
        signature=infer_signature(frame, model.predict(frame)),
        input_example=frame.head(1),
        pip_requirements=["mlflow", "scikit-learn"],
        serialization_format=form,
    )
    return path


@functools.cache
def python_model(name: str, source: str, requirements: tuple[str, ...] = ("mlflow",)) -> Path:
    """A model of which `predict(context, model_input, params=None)` is given as source."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    made = folder() / hashlib.sha256(source.encode()).hexdigest()[:8]
    made.mkdir(exist_ok=True)
    code = made / f"{name}.py"
    code.write_text(
        "import mlflow.pyfunc\n\n\nclass Model(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        + "".join(f"        {line}\n" for line in source.splitlines())
        + "\n\nmlflow.models.set_model(Model())\n"
    )
    frame = pd.DataFrame([ROW], columns=COLUMNS)
    path = made / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow would like type hints and an example
        mlflow.pyfunc.save_model(
            str(path),
            python_model=str(code),
            signature=infer_signature(frame, [1.0]),
            pip_requirements=list(requirements),
        )
    return path


@contextlib.contextmanager
def running(path: Path, **limits: float) -> Iterator[Path]:
    """A gateway in the background, and no process of it left afterwards."""
    path.mkdir(parents=True, exist_ok=True)
    if limits:
        (path / "limits.json").write_text(json.dumps(limits))
    control.start(path)
    try:
        yield path
    finally:
        control.stop(path)
        assert processes.cards(home_of(path).run) == []


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Fails where the condition does not come true in time."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.01)


@dataclass
class Answered:
    """One answer of a public port."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def release(self) -> str | None:
        return self.headers.get("x-release")

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Endpoint:
    """One endpoint of a running gateway, as a test sees it."""

    home: Path
    name: str = "e"
    owner: str = "tests"
    model: str = "prod.model"
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.put("", {"port": self.port, "owner": self.owner, "model": self.model}, 200)

    def put(self, path: str, body: Any, status: int) -> Any:
        code, told = control.ask(self.home, "PUT", f"/endpoints/{self.name}{path}", body)
        assert code == status, told
        return told

    @property
    def state(self) -> dict[str, Any]:
        code, told = control.ask(self.home, "GET", "/state", timeout=30)
        assert code == 200
        found: dict[str, Any] = told["endpoints"][self.name]
        return found

    def release(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.state["releases"][name]
        return found

    def spec(self, artifacts: Path, version: int = 1, **more: Any) -> dict[str, Any]:
        return {
            "owner": self.owner,
            "model": self.model,
            "version": version,
            "key": f"{version}-abcdef",
            "artifact_uri": str(artifacts),
            **more,
        }

    def launch(self, name: str, artifacts: Path, version: int = 1, **more: Any) -> None:
        self.put(f"/releases/{name}", self.spec(artifacts, version, **more), 202)

    def settled(self, name: str) -> dict[str, Any]:
        """The release when it is ready or failed."""
        wait_until(lambda: self.release(name)["state"] != "starting")
        return self.release(name)

    def ready(self, name: str, artifacts: Path, version: int = 1, **more: Any) -> None:
        self.launch(name, artifacts, version, **more)
        found = self.settled(name)
        assert found["state"] == "ready", found

    def weigh(self, weights: dict[str, int]) -> None:
        self.put("/weights", {"weights": weights, "seen": self.state["token"]}, 200)

    def serving(self, artifacts: Path, name: str = "r1", version: int = 1) -> Endpoint:
        """With one release that has all the traffic."""
        self.ready(name, artifacts, version)
        self.weigh({name: 100})
        return self

    def ask(
        self,
        body: bytes = BODY,
        method: str = "POST",
        path: str = "/invocations",
        headers: dict[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            return send(connection, body, method, path, headers)
        finally:
            connection.close()


def send(
    connection: http.client.HTTPConnection,
    body: bytes = BODY,
    method: str = "POST",
    path: str = "/invocations",
    headers: dict[str, str] | None = None,
) -> Answered:
    connection.request(method, path, body or None, JSON if headers is None else headers)
    answer = connection.getresponse()
    return Answered(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
