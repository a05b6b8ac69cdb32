"""From the wake-up to the first answer of the new version, against a cold start of `mlflow models serve`."""

from __future__ import annotations

import contextlib
import functools
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import registry
from benchmarks.bench import Bench, BenchError, Measured, free_port, median_figure, until
from benchmarks.load import Load, Order, generator
from benchmarks.serving import MODEL, body, model, models_serve
from gateway import control
from watcher import wiring
from watcher.loop import LocalLoop
from watcher.settings import Watched

RATE = 100.0
"""Requests a second that the endpoint answers all the time."""
WINDOW = 3.0
"""Seconds of requests a try; the new version is expected within."""
TRIES = 20
QUIET = 1.5
"""Seconds without a wake-up, longer than between two polls: the model is at rest."""


class Wakes:
    """When the model was woken, on the monotonic clock."""

    def __init__(self, watched: Callable[[str], Watched | None]) -> None:
        self._watched = watched
        self.at: list[float] = []

    def __call__(self, model: str) -> Watched | None:
        """What the loop asks first at every wake-up."""
        self.at.append(time.monotonic())
        return self._watched(model)

    def rest(self) -> None:
        """Until nothing has been due for a while."""
        until(lambda: time.monotonic() - self.at[-1] > QUIET, "rest")


def run(bench: Bench) -> Measured:
    """The whole product but for its command line; no canary, no minimum age. Each round has a new winner."""
    ours, theirs = [], []
    artifacts = model(bench)
    with _watching(bench) as (trainer, wakes, port), generator(bench.folder / "load") as load:
        for number in range(1, bench.rounds + 1):
            with models_serve(bench, artifacts) as cold:
                theirs.append(cold.seconds)
            wakes.rest()
            wakes.at.clear()
            version = trainer.register(MODEL, 0.5 + number / 100, model(bench, number % 2 + 1))
            answered = _first_answer(load, port, version)
            ours.append(answered - wakes.at[0])
            until(functools.partial(_reigns, trainer, version), f"the crown of version {version}")
            bench.say(f"{ours[-1] * 1000:.0f} ms against {theirs[-1]:.1f} s")
    told = f"{statistics.median(ours) * 1000:.0f} ms against {statistics.median(theirs):.1f} s"
    return {"wake_up": median_figure([a / b for a, b in zip(ours, theirs, strict=True)], told)}


def _reigns(trainer: registry.Trainer, version: int) -> bool:
    return trainer.champion(MODEL) == version


def _first_answer(load: Load, port: int, version: int) -> float:
    """When (monotonic) a client first had an answer of this version."""
    for _ in range(TRIES):
        told = load.run(Order(body(), port=port, connections=4, requests=int(RATE * WINDOW), rate=RATE))
        if told.failed:
            raise BenchError(f"{told.failed} requests failed: {told.statuses}")
        came = [begun + took for begun, took, _, by in told.samples if by == str(version)]
        if came:
            return min(came)
    raise BenchError(f"version {version} never answered")


@contextlib.contextmanager
def _watching(bench: Bench) -> Iterator[tuple[registry.Trainer, Wakes, int]]:
    """A watcher's loop on a registry with one model whose first version serves."""
    import mlflow

    database = registry.copied(bench)
    uri, port, folder = f"sqlite:///{database}", free_port(), bench.fresh("watcher")
    mlflow.set_tracking_uri(uri)  # the registry's own code looks for logged models there
    trainer = registry.Trainer(uri)
    trainer.create(MODEL)
    trainer.register(MODEL, 0.5, model(bench))
    app = wiring.load(_settings(folder, uri, port))
    wakes = Wakes(app.watched)
    loop = LocalLoop(app.loop, app.poller(), app.settings.poll, wakes, app.clock, bench.say)
    thread = threading.Thread(target=loop.run, name="watcher")
    thread.start()
    try:
        until(lambda: trainer.champion(MODEL) == 1, "the crown of the first version")
        yield trainer, wakes, port
    finally:
        loop.halt()
        thread.join()
        control.stop(folder / "gateway")


def _settings(folder: Path, uri: str, port: int) -> Path:
    """No canary, no bake, no minimum age; what is displaced goes at once, so that rounds do not add up."""
    target = {"name": "api", "kind": "local-endpoint", "port": port, "gateway": str(folder / "gateway"), "env": "local"}
    analysis = {"min_requests": 1, "max_error_increase": 1.0, "max_p95_ratio": 1_000.0}
    rollout = {"canary": [100], "bake": "0s", "analysis": analysis, "keep_warm": "0s"}
    path = folder / "watch.yaml"
    settings = {
        "version": 1,
        "owner": "bench",
        "registry": {"uri": uri},
        "ledger": "sqlite:///ledger.db",
        "poll": {"changes": "1s", "marks": "60s", "evidence": "60s", "resync": "1h"},
        "policies": {"auc": {"primary": {"metric": "auc", "min_gain": 0.002}}},
        "rollouts": {"at-once": rollout},
        "models": [{"name": MODEL, "policy": "auc", "rollout": "at-once", "targets": [target]}],
    }
    path.write_text(json.dumps(settings))
    return path
