"""Memory of three releases with everything that serves them, against one `mlflow models serve`."""

from __future__ import annotations

import statistics

from benchmarks.bench import Bench, Measured, median_figure
from benchmarks.load import Order, generator
from benchmarks.procfs import pss
from benchmarks.serving import body, gateway, model, models_serve
from evaluation.bounded import tree

RELEASES = 3
REQUESTS = 300
"""Answered by each side before it is measured."""


def run(bench: Bench) -> Measured:
    """A round starts each side afresh, one after the other: together they would share pages, and seem smaller."""
    ours, theirs = [], []
    for _ in range(bench.rounds):
        ours.append(_releases(bench))
        theirs.append(_serve(bench))
        bench.say(f"{ours[-1]:.0f} MB in all against {theirs[-1]:.0f} MB")
    ratios = [all_of_it / RELEASES / one for all_of_it, one in zip(ours, theirs, strict=True)]
    each, alone = statistics.median(ours) / RELEASES, statistics.median(theirs)
    return {"memory": median_figure(ratios, f"{each:.0f} MB a release against {alone:.0f} MB")}


def _releases(bench: Bench) -> float:
    with gateway(bench) as served, generator(bench.folder / "load") as load:
        names = [served.launch(number, model(bench, number)) for number in range(1, RELEASES + 1)]
        served.shift(dict(zip(names, (34, 33, 33), strict=True)))
        load.run(served.public(body(), requests=bench.of(REQUESTS, 30) * RELEASES))
        return pss(served.pids())


def _serve(bench: Bench) -> float:
    with models_serve(bench, model(bench)) as cold, generator(bench.folder / "load") as load:
        load.run(Order(body(), port=cold.port, requests=bench.of(REQUESTS, 30)))
        return pss(tree(cold.pid))
