"""The whole stack, gateway and worker, against `mlflow models serve` alone: the same model, the same answers."""

from __future__ import annotations

import statistics

from benchmarks.bench import Bench, BenchError, Figure, Measured, median_figure
from benchmarks.gateway_cost import p50s, throughput, warm
from benchmarks.load import Order, generator
from benchmarks.serving import ask, body, gateway, model, models_serve

COMPARED = 200
"""Different rows whose answers are held against each other, byte for byte."""


def run(bench: Bench) -> Measured:
    """p50 with one connection, throughput with eight; nothing counts unless the answers are the same."""
    ratios, rates, ours, theirs = [], [], [], []
    artifacts = model(bench)
    with gateway(bench) as served, models_serve(bench, artifacts) as cold, generator(bench.folder / "load") as load:
        served.up(1, artifacts)
        different = _different(served.port, cold.port, bench.of(COMPARED, 20))
        sides = served.public(body()), Order(body(), port=cold.port)
        warm(load, sides, bench)
        for _ in range(bench.rounds):
            stack, alone = p50s(load, sides, bench)
            ours.append(stack * 1000)
            theirs.append(alone * 1000)
            ratios.append(stack / alone)
            rates.append(throughput(load, sides, bench))
            bench.say(f"{ours[-1]:.2f} ms against {theirs[-1]:.2f} ms")
    fast = [statistics.median(side) for side in zip(*rates, strict=True)]
    return {
        "serving_different": Figure(different, f"{bench.of(COMPARED, 20)} rows, compared byte for byte"),
        "serving_p50": median_figure(
            ratios, f"{statistics.median(ours):.2f} ms against {statistics.median(theirs):.2f} ms"
        ),
        "serving_rate": median_figure(
            [stack / alone for stack, alone in rates], f"{fast[0]:.0f} against {fast[1]:.0f} requests a second"
        ),
    }


def _different(ours: int, theirs: int, rows: int) -> int:
    """How many rows are answered differently."""
    different = 0
    for seed in range(rows):
        expected = ask(theirs, body(seed))
        if expected is None:
            raise BenchError("`mlflow models serve` does not answer")
        different += ask(ours, body(seed)) != expected
    return different
