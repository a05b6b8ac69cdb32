"""What an evaluation costs beside the two models' own predictions, and how its memory grows with the rows."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from benchmarks.bench import Bench, Measured, median_figure, sure, told_by
from benchmarks.procfs import anonymous
from evaluation.bounded import tree
from evaluation.job import Job, Model, Source
from evaluation.local import DONE, RUNNING, Local

ROWS, COLUMNS = 1_000_000, 20
CHUNK = 100_000
NAMES = {"flat": 3, "deep": 6}
"""The champion and the challenger, and how deep their trees are."""
FEW_TREES, TREES = 200, 800
"""What every model's process takes to start weighs more beside models that predict fast."""
NARROW, CHEAP, MORE = 3, 5, 10
"""Columns and trees where memory is measured, which depends on rows alone, and how many times the rows."""
EVERY = 0.02
"""Seconds between two looks at memory."""


def rows(count: int, columns: int, seed: int) -> pd.DataFrame:
    """Numbers, the first three of which tell the target."""
    chance = np.random.default_rng(seed)
    frame = pd.DataFrame(chance.normal(size=(count, columns)), columns=[f"x{place}" for place in range(columns)])
    odds = 1.2 * frame["x0"] - 0.8 * frame["x1"] * frame["x2"] + chance.logistic(size=count)
    return frame.assign(y=(odds > 0).astype("int64"))


def holdout(path: Path, count: int, columns: int) -> None:
    """Written in chunks, so that making it takes no memory."""
    writer = None
    for start in range(0, count, CHUNK):
        table = pa.Table.from_pandas(rows(min(CHUNK, count - start), columns, start), preserve_index=False)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def saved(folder: Path, name: str, depth: int, columns: int, trees: int) -> None:
    """A boosted model."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.ensemble import HistGradientBoostingClassifier

    train = rows(20_000, columns, 10**9)
    model = HistGradientBoostingClassifier(max_iter=trees, max_depth=depth, early_stopping=False)
    model.fit(train.drop(columns="y"), train["y"])
    signature = infer_signature(train.drop(columns="y"), train["y"])
    mlflow.sklearn.save_model(
        model,
        str(folder / name),
        signature=signature,
        pip_requirements=["mlflow", "scikit-learn"],
        serialization_format="cloudpickle",
    )


def alone(folder: Path, path: Path) -> float:
    """Seconds that the models' own `predict_proba` takes on all rows, with all processors and one after the other.

    Their threads do not spin while they wait: else it takes many times as long as soon as anything else runs.
    """
    return float(told_by("benchmarks.evaluating", str(folder), str(path), OMP_WAIT_POLICY="PASSIVE").split()[-1])


def predicted(folder: Path, path: Path) -> float:
    """The same, in this process; rows are read beforehand."""
    import mlflow.sklearn

    spent, models = 0.0, [mlflow.sklearn.load_model(str(folder / name)) for name in NAMES]
    for batch in parquet.ParquetFile(path).iter_batches(CHUNK):
        frame = batch.to_pandas().drop(columns="y")
        began = time.perf_counter()
        for model in models:
            model.predict_proba(frame)
        spent += time.perf_counter() - began
    return spent


class Peaks:
    """The most memory of an evaluation's process, and of any below it, while this lasts; in MB that no file backs."""

    def __init__(self) -> None:
        self.evaluation = self.model = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            _, *below = tree(os.getpid())
            self.evaluation = max([self.evaluation, *map(anonymous, below[:1])])
            self.model = max([self.model, *map(anonymous, below[1:])])


def evaluated(folder: Path, home: Path, path: Path, count: int) -> tuple[float, Peaks]:
    """Seconds, and the peaks of memory; in a process of its own, as evaluations are, and with nothing known before."""
    models = [Model("m", number, name, str(folder / name)) for number, name in enumerate(NAMES, 1)]
    job = Job(models[1], models[0], Source(str(path)), "y", ("roc_auc", "log_loss"), max_rows=count, timeout=7_200.0)
    local = Local(home)
    began = time.perf_counter()
    with Peaks() as peaks:
        local.start(job)
        while (seen := local.observe(job)).state == RUNNING:
            time.sleep(EVERY)
        os.wait()
    sure(seen.state == DONE, f"the evaluation is done, not {seen.state}: {seen.why}")
    return time.perf_counter() - began, peaks


def run(bench: Bench) -> Measured:
    """A round: for each pair the models' own predictions on all rows, then the evaluation."""
    folder, count = bench.fresh("evaluating"), bench.of(ROWS, 1_000)
    path = folder / "holdout.parquet"
    holdout(path, count, COLUMNS)
    pairs: dict[int, list[tuple[float, float, float]]] = {bench.of(FEW_TREES): [], bench.of(TREES): []}
    for trees in pairs:
        for name, depth in NAMES.items():
            saved(_pair(folder, trees), name, depth, COLUMNS, trees)
    for _ in range(bench.rounds):
        for trees, rounds in pairs.items():
            own = alone(_pair(folder, trees), path)
            subprocess.run(["sync"], check=True)  # noqa: S607 - what was written is out of the way
            whole, peaks = evaluated(_pair(folder, trees), bench.fresh("home"), path, count)
            rounds.append((whole / own, whole, own))
            bench.say(f"{trees} trees: alone {own:.1f} s, evaluated {whole:.1f} s, each model {peaks.model:.0f} MB")
    told = "; ".join(_told(trees, rounds) for trees, rounds in reversed(pairs.items()))
    slow = pairs[bench.of(TREES)]
    return {"evaluating": median_figure([each[0] for each in slow], f"{told}, {count:,} rows of {COLUMNS} columns")}


def _pair(folder: Path, trees: int) -> Path:
    return folder / str(trees)


def _told(trees: int, rounds: list[tuple[float, float, float]]) -> str:
    times, whole, own = sorted(rounds)[len(rounds) // 2]
    return f"{trees} trees each: {whole:.1f} s against {own:.1f} s, {times:.2f}×"


def run_memory(bench: Bench) -> Measured:
    """A round: the evaluation of a pair that predicts fast, on some rows and on ten times as many."""
    folder, few = bench.fresh("evaluating"), bench.of(ROWS, 1_000)
    for name, depth in NAMES.items():
        saved(folder, name, depth, NARROW, CHEAP)
    peaks: dict[int, list[float]] = {few: [], MORE * few: []}
    for count, found in peaks.items():
        path = folder / f"{count}.parquet"
        holdout(path, count, NARROW)
        for _ in range(bench.rounds):
            _, peak = evaluated(folder, bench.fresh("home"), path, count)
            found.append(peak.evaluation)
            bench.say(f"{count:,} rows: the evaluation {peak.evaluation:.0f} MB, a model {peak.model:.0f} MB")
    growth = [after - before for before, after in zip(*peaks.values(), strict=True)]
    before, after = (statistics.median(found) for found in peaks.values())
    told = f"{after:.0f} MB with {MORE * few:,} rows against {before:.0f} MB with {few:,}"
    return {"evaluating_memory": median_figure(growth, told)}


if __name__ == "__main__":
    print(predicted(*map(Path, sys.argv[1:])))
