"""How long "what was live at that moment, and why" takes in a history of a million lines."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import statistics
import time
from pathlib import Path

from benchmarks.bench import Bench, Figure, Measured, sure
from watcher.history import read_live
from watcher.ledger.sqlite import SqliteLedger

LINES = 1_000_000
MODELS = 1_000
QUERIES = 40
"""A round, each at a random moment of a random model."""
START, END = 1_700_000_000.0, 1_800_000_000.0
CYCLE = (
    ("verdict", None, '{"call": "wins", "reason": "better"}'),
    ("rollout_started", None, None),
    ("done", "api", '{"verb": "shift", "slot": "shift:api"}'),
    ("live", "api", None),
    ("crowned", None, None),
    ("intent", "api", '{"verb": "retire", "slot": "retire:api"}'),
    ("done", "api", '{"verb": "retire", "slot": "retire:api"}'),
    ("seen", None, None),
)
"""What a version leaves behind, over and over."""


def run(bench: Bench) -> Measured:
    """A thousand models with a thousand lines each, and one model with all of them; the slower of the two counts."""
    lines = bench.of(LINES, 10_000)
    worst, told = [], []
    for models in (MODELS, 1):
        path = bench.fresh("history") / "ledger.db"
        fill(path, lines, models)
        ledger = SqliteLedger(path)
        first = _everyone_is_live(lines, models)
        rounds = [_round(ledger, models, seed, bench.of(QUERIES, 5), first) for seed in range(bench.rounds)]
        ledger.close()
        worst.append([max(times) * 1000 for times in rounds])
        told.append(statistics.median([t for times in rounds for t in times]) * 1000)
        bench.say(f"{models:,} models: the slowest {max(worst[-1]):.1f} ms")
        path.unlink()
    slower = max(worst, key=statistics.median)
    words = (
        f"the slowest of {bench.of(QUERIES, 5)}; median {told[0]:.1f} ms with 1,000 models, {told[1]:.1f} ms with one"
    )
    return {"history": Figure(statistics.median(slower), words, tuple(slower))}


def fill(path: Path, lines: int, models: int) -> None:
    """Write so many lines at even distances, in turn for each model, through the ledger's own tables."""
    SqliteLedger(path).close()
    every = (END - START) / lines
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executemany(
            "INSERT INTO history (at, model, event, target, version, reason, data) VALUES (?, ?, ?, ?, ?, '', ?)",
            (_line(number, models, START + number * every) for number in range(lines)),
        )


def _line(number: int, models: int, at: float) -> tuple[float, str, str, str | None, int, str | None]:
    turn, model = divmod(number, models)
    version, place = divmod(turn, len(CYCLE))
    event, target, data = CYCLE[place]
    if event == "live":
        data = json.dumps({"weights": {str(version + 1): 100}})
    return at, f"bench.m{model:05}", event, target, version + 1, data


def _everyone_is_live(lines: int, models: int) -> float:
    """A moment from which on each model has something live: its first cycle is over, and some of the history."""
    return START + (END - START) * max(0.05, len(CYCLE) * models / lines)


def _round(ledger: SqliteLedger, models: int, seed: int, queries: int, first: float) -> list[float]:
    chance, taken = random.Random(seed), []  # noqa: S311 - moments to ask about
    for _ in range(queries):
        model, at = f"bench.m{chance.randrange(models):05}", chance.uniform(first, END)
        began = time.perf_counter()
        live = read_live(ledger, model, at)
        taken.append(time.perf_counter() - began)
        sure(live["api"].because, "the reasons are part of the answer")
    return taken
