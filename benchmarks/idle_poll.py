"""What watching costs the registry while nothing happens: our change poll, against asking for each model."""

from __future__ import annotations

import statistics
import warnings
from typing import Any

from benchmarks import registry
from benchmarks.bench import Bench, Figure, Measured, median_figure, sure
from benchmarks.procfs import cpu
from evaluation.bounded import tree
from watcher.ledger.sqlite import SqliteLedger
from watcher.poll import Poller
from watcher.registry.mlflow import build
from watcher.settings import RegistrySettings

MODELS, VERSIONS = 1_000, 100
POLLS = 50
"""A round: the CPU of one is below what /proc counts."""
SWEEPS = 3


def run(bench: Bench) -> Measured:
    """Each round has its part of one whole naive pass, so nothing of it is extrapolated."""
    from mlflow import MlflowClient

    models = bench.of(MODELS, bench.rounds)
    database = registry.seeded(bench, models, bench.of(VERSIONS, 2))
    with registry.server(database) as (address, pid), registry.counted() as counted:
        watched = build(RegistrySettings(address, address), {})
        poller = Poller(watched, SqliteLedger(database.parent / "ledger.db"), lambda _: True, ())
        naive = MlflowClient(tracking_uri=address, registry_uri=address)
        poller.changes()
        poller.known.update(registry.names(models))
        poller.marks()
        polls, sweeps, parts = [], [], []
        calls = sweep_calls = 0
        server = tree(pid)
        for number in range(bench.rounds):
            before, was = cpu(server), counted.calls
            for _ in range(bench.of(POLLS, 5)):
                sure(not poller.changes(), "nothing was changed")
            polls.append((cpu(server) - before) / bench.of(POLLS, 5))
            calls = max(calls, (counted.calls - was) // bench.of(POLLS, 5))
            before, was = cpu(server), counted.calls
            for _ in range(SWEEPS):
                sure(not poller.marks(), "no mark was moved")
            sweeps.append((cpu(server) - before) / SWEEPS)
            sweep_calls = max(sweep_calls, (counted.calls - was) // SWEEPS)
            before, was = cpu(server), counted.calls
            _each(naive, registry.names(models)[number :: bench.rounds])
            parts.append(cpu(server) - before)
            bench.say(f"poll {polls[-1] * 1000:.0f} ms, part of the naive pass {parts[-1]:.1f} s")
    whole, one, sweep = sum(parts), statistics.median(polls), statistics.median(sweeps)
    told = (
        f"{one * 1000:.0f} ms against {whole:.1f} s of the server's CPU; the marks sweep, every minute: "
        f"{sweep_calls} call{'s' * (sweep_calls != 1)}, {sweep:.2f} s"
    )
    return {
        "idle_calls": Figure(calls, f"{models:,} models × {bench.of(VERSIONS, 2)} versions"),
        "idle_cpu": median_figure([whole / poll if poll else float("inf") for poll in polls], told),
    }


def _each(client: Any, names: list[str]) -> None:
    """What a watcher without a change poll does: each model's latest versions, and their runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated since 2.9, and still what most of them call
        for name in names:
            for version in client.get_latest_versions(name):
                client.get_run(version.run_id)
