"""Models, a gateway with its releases, and `mlflow models serve`, for the benchmarks that send requests."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bench import Bench, BenchError, free_port, started, until
from benchmarks.load import Order
from benchmarks.procfs import command
from deployers.local_endpoint import build
from evaluation.bounded import tree
from gateway import control, processes
from gateway.paths import home
from watcher.errors import Transient
from watcher.naming import release_name
from watcher.values import Example, Identity, Kind, Release, State, Status, Target, Version

COLUMNS = [f"c{n}" for n in range(10)]
MODEL = "bench.model"
OK = 200


def body(seed: int = 0) -> str:
    """One row, as `dataframe_split`."""
    chance = random.Random(seed)  # noqa: S311 - numbers to predict from
    row = [round(chance.gauss(0, 1), 6) for _ in COLUMNS]
    return json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [row]}})


def model(bench: Bench, number: int = 1) -> Path:
    """A scaled linear model over ten doubles; each number has coefficients of its own. Made once a run."""
    name = f"model-{number}"
    if name not in bench.cache:
        bench.cache[name] = save(bench.fresh(name) / "model", number)
    return bench.cache[name]


def save(path: Path, number: int) -> Path:
    """Write such a model to `path`."""
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    generator = np.random.default_rng(number)
    frame = pd.DataFrame(generator.normal(size=(200, len(COLUMNS))), columns=COLUMNS)
    fitted = make_pipeline(StandardScaler(), Ridge()).fit(frame, frame @ generator.normal(size=len(COLUMNS)))
    mlflow.sklearn.save_model(
        fitted,
        str(path),
        signature=infer_signature(frame, fitted.predict(frame)),
        input_example=frame.head(1),
        pip_requirements=["mlflow", "scikit-learn"],
        serialization_format="skops",
    )
    return path


@dataclass
class Served:
    """A gateway of its own, with one endpoint."""

    home: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        settings = {"gateway": str(self.home), "port": self.port, "env": "local"}
        place = f"local-endpoint:127.0.0.1:{self.port}"
        self.target = Target("api", "local-endpoint", Kind.ENDPOINT, MODEL, "bench", place, settings)
        self.deployer = build(None)

    def release(self, number: int, artifacts: Path) -> Release:
        identity = Identity(MODEL, number, number, str(artifacts))
        version = Version(identity, Status.READY, str(artifacts))
        return Release(self.target, release_name(identity), version)

    def launch(self, number: int, artifacts: Path) -> str:
        """Bring it up, without traffic; its name once it is ready."""
        release = self.release(number, artifacts)
        self.deployer.launch(release)
        until(lambda: self.state(release.name) is not State.STARTING, f"the start of version {number}", 0.005)
        if self.state(release.name) is not State.READY:
            raise BenchError(f"version {number} does not start: {self.deployer.observe(self.target)}")
        return release.name

    def state(self, name: str) -> State:
        try:
            found = self.deployer.observe(self.target).release(name)
        except Transient:  # on a busy machine an answer may be late; `until` ends the waiting
            return State.STARTING
        return found.state if found is not None else State.FAILED

    def shift(self, weights: dict[str, int]) -> None:
        self.deployer.shift(self.target, weights, self.deployer.observe(self.target).token)

    def up(self, number: int, artifacts: Path) -> str:
        """Bring it up with all the traffic, probed first as every release is."""
        name = self.launch(number, artifacts)
        probe = self.deployer.probe(self.release(number, artifacts), Example(body().encode(), rows=1))
        if not probe.ok:
            raise BenchError(f"version {number} fails its probe: {probe.detail}")
        self.shift({name: 100})
        return name

    def retire(self, name: str) -> None:
        """Until its process is gone."""
        self.deployer.retire(self.target, name)
        until(lambda: self.worker(name) is None, f"the end of {name}")

    def worker(self, name: str) -> processes.Card | None:
        cards = processes.cards(home(self.home).run)
        return next((card for card in cards if card.release == name), None)

    def direct(self, name: str, text: str, **more: float) -> Order:
        """Load for the release's own worker, past the gateway."""
        card = self.worker(name)
        if card is None:
            raise BenchError(f"{name} has no worker")
        return Order(text, path=str(home(self.home).run / f"{card.nonce}.sock"), **more)  # type: ignore[arg-type]

    def public(self, text: str, **more: float) -> Order:
        """Load for the public port."""
        return Order(text, port=self.port, **more)  # type: ignore[arg-type]

    def server(self) -> int:
        """Pid of the process that owns the public port."""
        return next(pid for pid in tree(self.supervisor()) if "gateway.server" in command(pid))

    def supervisor(self) -> int:
        told = control.status(self.home) or {}
        return int(told["supervisor"])

    def pids(self) -> list[int]:
        """Every process of this gateway: supervisor, server, zygote, workers."""
        cards = {card.pid for card in processes.cards(home(self.home).run)}
        return sorted(cards | set(tree(self.supervisor())))


@contextlib.contextmanager
def gateway(bench: Bench) -> Iterator[Served]:
    """A gateway until the block ends."""
    path = bench.fresh("gateway")
    control.start(path)
    try:
        yield Served(path)
    finally:
        control.stop(path)


@dataclass(frozen=True)
class Cold:
    """`mlflow models serve` after its start."""

    port: int
    pid: int
    seconds: float
    """From the start of the process to the first answer."""


@contextlib.contextmanager
def models_serve(bench: Bench, artifacts: Path) -> Iterator[Cold]:
    """`mlflow models serve` until the block ends, which begins once it answers."""
    port = free_port()
    log = bench.fresh("serve") / "serve.log"
    arguments = ["models", "serve", "-m", str(artifacts), "-p", str(port), "--env-manager", "local"]
    began = time.monotonic()
    with started(["-m", "mlflow", *arguments], log) as process:
        until(lambda: answers(port) or process.poll() is not None, "an answer of `mlflow models serve`")
        if process.poll() is not None:
            raise BenchError(f"`mlflow models serve` ended: {log.read_text()[-500:]}")
        yield Cold(port, process.pid, time.monotonic() - began)


def answers(port: int) -> bool:
    """Whether a prediction is answered."""
    return ask(port, body()) is not None


def ask(port: int, text: str) -> bytes | None:
    """One prediction, None where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/invocations", text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found = answer.read()
    except OSError:
        return None
    else:
        return found if answer.status == OK else None
    finally:
        connection.close()
