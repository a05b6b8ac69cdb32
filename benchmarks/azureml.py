"""What one wake-up costs that observes 20 endpoints of Azure ML on which something is going on.

A release starts on two fifths of them, which are online, and on a fifth, which are batch; on two fifths one bakes. The
cloud is the one of the tests, with the real SDKs before it; every call takes as long as one to Azure. Each wake-up
comes a minute after the last one, so that Azure Monitor is asked in all of them. `make bench-azureml` measures with
mlflow-skinny, as a function app has it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.bench import PATIENCE, Bench, BenchError, Figure, Measured, median_figure, sure
from benchmarks.load import CHECKOUT
from benchmarks.procfs import rss

TARGETS = 20
CALL = 0.05
"""Seconds that a call of the control plane takes."""
WAKES = 3
KINDS = ("launch", "bake", "launch", "bake", "batch")
"""What goes on at an endpoint, in turn; at one of `batch` a release starts."""
COUNTED = {"launching": "launch-", "batch": "batch-", "baking": "bake-", "metrics": r"bake-.*Insights/metrics"}
"""Of what calls are counted -> what their address has in it after `/onlineEndpoints/` or `/batchEndpoints/`."""
IMPORTED = "import azure.ai.ml, azure.identity, mlflow; print(flush=True); input()"


@dataclass(frozen=True)
class _Seen:
    """What one process told of its wake-ups."""

    seconds: float
    """The slowest after the first, which connects."""
    first: float
    launching: float
    """Calls of the control plane for each online target that launches, in one wake-up."""
    batch: float
    """The same for each batch target."""
    baking: float
    """The same for each in its canary, with those of Azure Monitor."""
    metrics: float
    """Of these, those of Azure Monitor."""
    mb: float


def run(bench: Bench) -> Measured:
    """A new process a round, that gathers as a wake-up does; beside it one that only imported the SDKs."""
    targets = bench.of(TARGETS, len(KINDS))
    rounds = [_round(targets) for _ in range(bench.rounds)]
    imported = [_imported() for _ in range(bench.rounds)]
    base, first = sum(imported) / len(imported), max(seen.first for seen in rounds)
    words = f"{targets} targets at {CALL * 1000:g} ms a call; the first, which connects: {first:.2f} s"
    monitor = max(seen.metrics for seen in rounds)
    return {
        "azureml_calls": Figure(
            max(each for seen in rounds for each in (seen.launching, seen.batch)),
            f"a release starts on {_many(targets, 'launch')} online and {_many(targets, 'batch')} batch endpoints",
        ),
        "azureml_canary_calls": Figure(
            max(seen.baking for seen in rounds),
            f"{_many(targets, 'bake')} online endpoints; {monitor:g} are Azure Monitor's, once a minute at most",
        ),
        "azureml_seconds": median_figure([seen.seconds for seen in rounds], words),
        "azureml_memory": median_figure([seen.mb / base for seen in rounds], f"over {base:.0f} MB"),
    }


def _many(targets: int, kind: str) -> int:
    return sum(KINDS[number % len(KINDS)] == kind for number in range(targets))


def _round(targets: int) -> _Seen:
    from tests.azureml.cloud import Cloud, named
    from tests.azureml.server import serving

    cloud = Cloud()
    cloud.delay, cloud.now = CALL, time.time()
    names = [f"{KINDS[number % len(KINDS)]}-{number:02}" for number in range(targets)]
    with serving(cloud) as environment:
        for name in names:
            family = "batch" if name.startswith("batch") else "online"
            cloud.in_progress(named(family, name), "bench.model", "bench", canary=name.startswith("bake"))
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.azureml", *names]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            env=os.environ | environment,
            text=True,
        )
        try:
            told: list[dict[str, Any]] = []
            for _ in range(WAKES):
                before = len(cloud.calls)
                line = process.stdout.readline() if process.stdout is not None else ""
                if not line:
                    raise BenchError("the process that observes ended early")
                made = cloud.calls[before:]
                told.append(json.loads(line) | {key: _each(made, part, names) for key, part in COUNTED.items()})
                process.stdin.write("\n")  # type: ignore[union-attr] # a pipe
                process.stdin.flush()  # type: ignore[union-attr] # a pipe
            return _Seen(
                seconds=max(each["seconds"] for each in told[1:]),
                first=told[0]["seconds"],
                mb=told[-1]["mb"],
                **{key: max(each[key] for each in told) for key in COUNTED},
            )
        finally:
            process.kill()
            process.communicate(timeout=PATIENCE)


def _each(calls: list[str], part: str, names: list[str]) -> float:
    """Calls whose address has this in it, for each of the targets that it names."""
    kind = part.partition("-")[0]
    counted = [call for call in calls if re.search(f"/(online|batch)Endpoints/{part}", call)]
    return len(counted) / len([name for name in names if name.startswith(kind)])


def _imported() -> float:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", IMPORTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            if process.stdout is not None:
                process.stdout.readline()
            return rss(process.pid)
        finally:
            process.kill()


def observe(names: list[str]) -> None:
    """One line of JSON for each wake-up, until nobody reads any more."""
    import azure.ai.ml
    import azure.identity  # noqa: F401 - as above
    import mlflow  # noqa: F401 - what a registry of its own would import

    import deployers
    from deployers.azureml.batch import AzureBatch
    from deployers.azureml.online import AzureOnline
    from tests.azureml.cloud import SHORT
    from watcher.fakes.registry import FakeRegistry
    from watcher.gather import Sources, gather
    from watcher.policy import Policy, Primary
    from watcher.record import Record
    from watcher.settings import Watched
    from watcher.values import Example, Kind, Mode, Observed, Rollout, State, Target

    targets = []
    for name in names:
        batch = name.startswith("batch")
        kind, shape = ("azureml-batch", Kind.BATCH) if batch else ("azureml-online", Kind.ENDPOINT)
        settings = {"workspace": SHORT, "endpoint": name} | ({"compute": "cpu"} if batch else {})
        targets.append(Target(name, kind, shape, "bench.model", "bench", deployers.place(kind, settings), settings))
    registry = FakeRegistry(time.time)
    registry.create_version("bench.model", {"auc": 0.8})
    minutes = 0

    def clock() -> float:
        return time.time() + 60.0 * minutes

    moved = {"azureml-online": AzureOnline(None, clock=clock), "azureml-batch": AzureBatch(None, clock=clock)}
    sources = Sources(registry, registry, moved, lambda _: Example(b"{}"))
    watched = Watched("bench.model", Mode.DEPLOY, Policy(Primary("auc")), Rollout(), tuple(targets))
    for minutes in range(WAKES):  # noqa: B007 - the clock's
        began = time.perf_counter()
        snapshot = gather(watched, Record(born=0.0), sources, clock(), paused=False, evidence_every=60.0)
        taken = time.perf_counter() - began
        for view in snapshot.targets:
            if not isinstance(view.seen, Observed):
                raise BenchError(f"{view.target.name} was not seen: {view.seen.why}")
            bakes = view.target.name.startswith("bake")
            states = [State.READY, State.READY if bakes else State.STARTING]
            sure([release.state for release in view.seen.releases] == states, "one release serves, one is on its way")
            told = [release.traffic.requests > 0 for release in view.seen.releases]
            sure(told == [bakes, bakes], "what a canary answered is told")
        sys.stdout.write(json.dumps({"seconds": taken, "mb": rss(os.getpid())}) + "\n")
        sys.stdout.flush()
        sys.stdin.readline()


if __name__ == "__main__":
    observe(sys.argv[1:])
