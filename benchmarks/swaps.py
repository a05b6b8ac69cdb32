"""What clients notice of swaps: one release after the other takes over, under half the load that could be answered."""

from __future__ import annotations

import time

from benchmarks.bench import Bench, Figure, Measured, quantile
from benchmarks.load import Load, Order, Told, generator
from benchmarks.serving import Served, body, gateway, model

SWAPS = 20
SAMPLES = 1_200
"""Requests a round and side, at least."""
LONG_ENOUGH = 6.0
"""Seconds of swapping a round, at least."""
CONNECTIONS = 16
MOST_ROUNDS = 4
"""Times the rounds asked for, to get the swaps together on a slow machine."""


def run(bench: Bench) -> Measured:
    """A round: some seconds without a swap, then as many with one swap right after the other."""
    steady: list[Told] = []
    swapping: list[Told] = []
    swaps: list[int] = []
    ratios: list[float] = []
    with gateway(bench) as served, generator(bench.folder / "load") as load:
        served.up(1, model(bench, 1))
        rate = _capacity(load, served, bench) / 2
        requests = max(bench.of(SAMPLES, 20), int(rate * LONG_ENOUGH * min(bench.size * 2, 1)))
        order = Order(body(), port=served.port, connections=CONNECTIONS, requests=requests, rate=rate)
        wanted = bench.of(SWAPS, 2)
        while len(steady) < bench.rounds or (sum(swaps) < wanted and len(steady) < bench.rounds * MOST_ROUNDS):
            steady.append(load.run(order))
            load.begin(order)
            swaps.append(_swap(served, bench, 1 + sum(swaps), time.monotonic() + requests / rate))
            swapping.append(load.end())
            ratios.append(_p99(swapping[-1]) / _p99(steady[-1]))
            bench.say(
                f"{swaps[-1]} swaps; p99 {_p99(steady[-1]) * 1000:.0f} ms, {_p99(swapping[-1]) * 1000:.0f} ms then"
            )
    calm, busy = ([latency for told in side for latency in told.latencies] for side in (steady, swapping))
    told = f"{sum(swaps)} swaps; {len(calm):,} and {len(busy):,} requests at {rate:.0f} a second"
    p99 = quantile(calm, 0.99), quantile(busy, 0.99)
    words = f"{p99[1] * 1000:.0f} ms against {p99[0] * 1000:.0f} ms, p99 of all rounds together"
    return {
        "swaps_failed": Figure(sum(side.failed for side in (*steady, *swapping)), told),
        "swaps_p99": Figure(p99[1] / p99[0], words, tuple(ratios)),
    }


def _capacity(load: Load, served: Served, bench: Bench) -> float:
    """Requests a second that one release answers to eight connections."""
    order = Order(body(), port=served.port, connections=8, requests=bench.of(2_000, 100))
    load.run(order)
    return load.run(order).rate


def _swap(served: Served, bench: Bench, last: int, until: float) -> int:
    """How often: launch, probe, shift, retire, with two models in turn, so that every swap changes the answers."""
    swaps = 0
    live = served.release(last, model(bench, 1 + (last - 1) % 2)).name
    while time.monotonic() < until:
        last += 1
        swaps += 1
        following = served.up(last, model(bench, 1 + (last - 1) % 2))
        served.retire(live)
        live = following
    return swaps


def _p99(told: Told) -> float:
    return quantile(told.latencies, 0.99)
