"""What the statistics of a million rows cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import numpy as np

from benchmarks.bench import Bench, Measured, median_figure
from benchmarks.holdouts import ALIKE
from evaluation.statistics import gain

ROWS = 1_000_000
KINDS: Mapping[str, str] = {
    "log_loss": "log_loss",
    "accuracy": "accuracy",
    "roc_auc": "roc_auc",
    "median_absolute_error": "rmse",
}
"""A metric of each kind, paired t, McNemar, DeLong and bootstrap, and the holdout that it is measured on."""


def run(bench: Bench) -> Measured:
    """A round compares two models once by each kind. CPU seconds of all threads: other load does not show in them."""
    chance = np.random.default_rng(0)
    made = {metric: ALIKE[world](chance, bench.of(ROWS, 1_000), 0.05) for metric, world in KINDS.items()}
    rounds = []
    for number in range(bench.rounds):
        spent = {}
        began = time.perf_counter()
        for metric, rows in made.items():
            used = time.process_time()
            gain(metric, rows.truth, rows.champion, rows.challenger, confidence=0.95)
            spent[metric] = time.process_time() - used
        rounds.append((sum(spent.values()), time.perf_counter() - began))
        parts = ", ".join(f"{metric} {seconds:.2f} s" for metric, seconds in spent.items())
        bench.say(f"round {number + 1}: {parts}; wall {rounds[-1][1]:.1f} s")
    cpu, wall = zip(*rounds, strict=True)
    return {"statistics": median_figure(cpu, f"in the last round {parts}; wall {statistics.median(wall):.1f} s")}
