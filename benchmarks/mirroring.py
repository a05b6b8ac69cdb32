"""What clients of an endpoint notice while a fifth of their requests is copied to a challenger."""

from __future__ import annotations

import statistics
from typing import cast

from benchmarks.bench import Bench, Measured, median_figure, quantile, sure
from benchmarks.gateway_cost import ALONE, BATCHES, EIGHT, sized
from benchmarks.load import Load, generator
from benchmarks.serving import Served, body, gateway, model
from watcher.ports import Mirroring

PERCENT = 20
QUANTILES = (0.5, 0.99)


def run(bench: Bench) -> Measured:
    """One connection, which leaves a core to the mirror; beside it eight, which leave none on two cores."""
    alone: list[list[float]] = []
    busy: list[list[float]] = []
    with gateway(bench) as served, generator(bench.folder / "load") as load:
        served.up(1, model(bench))
        challenger = served.launch(2, model(bench, 2))
        load.run(sized(served.public(body()), bench.of(200)))
        for _ in range(bench.rounds):
            alone.append(_latencies(bench, served, load, challenger, 1))
            busy.append(_latencies(bench, served, load, challenger, EIGHT))
            bench.say(f"p50, p99 without the mirror and with it: {alone[-1]}; eight at once {busy[-1]}")
    figures = {}
    for place, name in enumerate(("mirror_p50", "mirror_p99")):
        plain, copied = (statistics.median(each[side + place] for each in alone) * 1000 for side in (0, 2))
        ratios, of_busy = ([each[2 + place] / each[place] for each in rounds] for rounds in (alone, busy))
        told = f"{copied:.2f} ms against {plain:.2f} ms; eight connections at once: {statistics.median(of_busy):.2f}×"
        figures[name] = median_figure(ratios, told)
    return figures


def _latencies(bench: Bench, served: Served, load: Load, challenger: str, connections: int) -> list[float]:
    """p50 and p99 in seconds without the mirror, then with it.

    Batches of both in turn, whichever began going second the next time.
    """
    order = served.public(body())
    found: tuple[list[float], list[float]] = ([], [])
    for batch in range(bench.of(BATCHES)):
        for mirrored in (False, True) if batch % 2 else (True, False):
            _mirror(served, challenger, mirrored=mirrored)
            load.run(sized(order, bench.of(20), connections))
            found[mirrored].extend(load.run(sized(order, bench.of(ALONE * connections, 60), connections)).latencies)
            copies = served.deployer.observe(served.target).mirrored
            sure((copies is not None and copies.compared > 0) == mirrored, "copies are compared while they are made")
    return [quantile(side, share) for side in found for share in QUANTILES]


def _mirror(served: Served, challenger: str, *, mirrored: bool) -> None:
    """Begin to copy requests, or end it as a rollout does: with weights."""
    found = served.deployer.observe(served.target)
    if mirrored:
        cast("Mirroring", served.deployer).mirror(served.target, challenger, PERCENT, found.token)
    else:
        served.deployer.shift(served.target, dict(found.weights), found.token)
