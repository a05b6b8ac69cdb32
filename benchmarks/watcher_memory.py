"""Memory of a watcher of a thousand idle models, and whether it stays."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, cast

from benchmarks import registry
from benchmarks.bench import PATIENCE, Bench, BenchError, Figure, Measured, median_figure, started, until
from benchmarks.load import CHECKOUT
from benchmarks.procfs import rss

MODELS, VERSIONS = 1_000, 100
TICKS = 10_000
SETTLING = 1_800.0
"""Seconds in which every model must have been looked at once."""
EVERY = 1.0
"""Seconds between two polls, and two sweeps, while it is watched."""
IMPORTED = "from mlflow import MlflowClient; print(flush=True); input()"


def run(bench: Bench) -> Measured:
    """The process of `watcher run` on a real server, and ten thousand ticks on a fake feed."""
    imported = [_imported() for _ in range(bench.rounds)]
    watching = _watching(bench)
    base = statistics.median(imported)
    told = f"{statistics.median(watching):.0f} MB against {base:.0f} MB of a process that imported MlflowClient"
    first, last = _ticks(bench)
    grown = f"{first:.0f} MB after a tenth of {bench.of(TICKS, 100):,} ticks, {last:.0f} MB at the end"
    return {
        "watcher_memory": median_figure([mb - base for mb in watching], told),
        "watcher_growth": Figure(max(last - first, 0.0), grown),
    }


def _imported() -> float:
    """MB of a process that can ask a registry and does nothing."""
    with subprocess.Popen([sys.executable, "-c", IMPORTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            cast("IO[bytes]", process.stdout).readline()
            return rss(process.pid)
        finally:
            process.kill()


def _watching(bench: Bench) -> list[float]:
    """MB of `watcher run` once it has looked at every model, one number a round, some polls and sweeps apart."""
    models = bench.of(MODELS, 30)
    database = registry.seeded(bench, models, bench.of(VERSIONS, 2))
    with registry.server(database) as (address, _):
        folder = bench.fresh("watcher")
        settings = _settings(folder, address)
        code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); from watcher.cli.main import main; sys.exit(main())"
        with started(["-c", code, "run", "--config", str(settings)], folder / "watcher.log") as process:
            ledger = folder / "ledger.db"
            until(
                lambda: _known(ledger) >= models or process.poll() is not None,
                f"a first look at {models} models",
                every=0.5,
                patience=max(SETTLING * bench.size, PATIENCE),
            )
            if process.poll() is not None:
                raise BenchError(f"the watcher ended: {(folder / 'watcher.log').read_text()[-500:]}")
            bench.say(f"{models:,} models are watched")
            found = []
            for _ in range(bench.rounds):
                time.sleep(3 * EVERY)
                found.append(rss(process.pid))
            return found


def _known(ledger: Path) -> int:
    """Models with a record."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection,
    ):
        return int(connection.execute("SELECT count(*) FROM record WHERE key NOT LIKE '#%'").fetchone()[0])
    return 0


def _settings(folder: Path, address: str) -> Path:
    """Every model of the registry, with verdicts and nothing else: a thousand ports are not to be had."""
    path = folder / "watch.yaml"
    settings = {
        "version": 1,
        "owner": "bench",
        "registry": {"uri": address},
        "ledger": "sqlite:///ledger.db",
        "poll": {"changes": f"{EVERY:g}s", "marks": f"{EVERY:g}s", "evidence": "60s", "resync": "1h"},
        "policies": {"auc": {"primary": {"metric": "auc", "min_gain": 0.002}}},
        "models": [{"match": "bench.*", "policy": "auc", "mode": "advise"}],
    }
    path.write_text(json.dumps(settings))
    return path


def _ticks(bench: Bench) -> tuple[float, float]:
    """MB after a tenth of the ticks and after all of them, in a process that does nothing else."""
    arguments = [str(bench.of(MODELS, 20)), str(bench.of(TICKS, 100)), str(bench.fresh("ticks") / "ledger.db")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ticks", *arguments], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True
    )
    first, last = json.loads(done.stdout)
    return first, last
