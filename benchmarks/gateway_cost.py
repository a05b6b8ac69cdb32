"""What the gateway adds: the same worker asked through it, and directly on its own socket."""

from __future__ import annotations

import statistics

from benchmarks.bench import Bench, Measured, median_figure, quantile
from benchmarks.load import Load, Order, generator
from benchmarks.procfs import cpu
from benchmarks.serving import Served, body, gateway, model

ALONE = 300
"""One-row requests a batch, one at a time."""
BATCHES = 6
"""Batches a round and side, in turn."""
TOGETHER = 1_200
"""Requests a round and side over eight connections."""
EIGHT = 8


def run(bench: Bench) -> Measured:
    """p50 with one connection, throughput with eight."""
    ratios, rates, alone, direct = [], [], [], []
    spent: list[tuple[float, float]] = []
    with gateway(bench) as served, generator(bench.folder / "load.log") as load:
        name = served.up(1, model(bench))
        text = body()
        sides = served.public(text), served.direct(name, text)
        warm(load, sides, bench)
        for _ in range(bench.rounds):
            through, past = p50s(load, sides, bench)
            alone.append(through)
            direct.append(past)
            ratios.append(through / past)
            rates.append(throughput(load, sides, bench))
        spent.append(_cpu(load, served, name, bench))
    gateway_us, worker_us = spent[0]
    milli = [statistics.median(side) * 1000 for side in (alone, direct)]
    told = (
        f"{milli[0]:.2f} ms against {milli[1]:.2f} ms; CPU {gateway_us:.0f} µs beside the worker's {worker_us:.0f} µs"
    )
    fast = [statistics.median(side) for side in zip(*rates, strict=True)]
    return {
        "gateway_p50": median_figure(ratios, told),
        "gateway_rate": median_figure(
            [through / past for through, past in rates], f"{fast[0]:.0f} against {fast[1]:.0f} requests a second"
        ),
    }


def warm(load: Load, sides: tuple[Order, Order], bench: Bench) -> None:
    """The first requests of a process cost more."""
    for side in sides:
        load.run(sized(side, bench.of(200)))


def sized(order: Order, requests: int, connections: int = 1) -> Order:
    """The same load, of so many requests."""
    return Order(order.body, order.path, order.host, order.port, connections, requests)


def p50s(load: Load, sides: tuple[Order, Order], bench: Bench) -> tuple[float, float]:
    """Median latency (seconds) of both sides over batches in turn, whoever began going second the next time."""
    found: tuple[list[float], list[float]] = ([], [])
    for batch in range(bench.of(BATCHES)):
        for side in (0, 1) if batch % 2 else (1, 0):
            found[side].extend(load.run(sized(sides[side], bench.of(ALONE, 20))).latencies)
    return quantile(found[0], 0.5), quantile(found[1], 0.5)


def throughput(load: Load, sides: tuple[Order, Order], bench: Bench) -> tuple[float, float]:
    """Requests a second of both sides, each the sum of batches in turn."""
    batches = bench.of(4)
    count = [0.0, 0.0]
    seconds = [0.0, 0.0]
    for batch in range(batches):
        for side in (0, 1) if batch % 2 else (1, 0):
            told = load.run(sized(sides[side], bench.of(TOGETHER // batches, 40), EIGHT))
            count[side] += len(told.samples)
            seconds[side] += told.seconds
    return count[0] / seconds[0], count[1] / seconds[1]


def _cpu(load: Load, served: Served, name: str, bench: Bench) -> tuple[float, float]:
    """CPU µs of the gateway's server and of the worker for one request."""
    card = served.worker(name)
    pids = (served.server(), card.pid if card else 0)
    before = [cpu([pid]) for pid in pids]
    requests = bench.of(4_000, 100)
    load.run(sized(served.public(body()), requests))
    spent = [(cpu([pid]) - was) / requests * 1e6 for pid, was in zip(pids, before, strict=True)]
    return spent[0], spent[1]
