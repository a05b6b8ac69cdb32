"""What an evaluation costs beside the two models' own predictions, and how much memory it takes.

`python -m benchmarks.evaluating [ROWS] [COLUMNS] [TREES]`, by default a million rows of twenty columns, models of 200
trees; few trees make a cheap model, by which memory is measured on many rows.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import mlflow.sklearn
import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.models import infer_signature
from pyarrow import parquet
from sklearn.ensemble import HistGradientBoostingClassifier

from evaluation.bounded import tree
from evaluation.job import Job, Model, Source
from evaluation.local import RUNNING, Local, Seen

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

ROWS, COLUMNS = 1_000_000, 20
CHUNK = 100_000
TREES = 200
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


def saved(folder: Path, name: str, depth: int, columns: int, trees: int) -> ClassifierMixin:
    """A boosted model of a size as they are in use."""
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
    return model


def alone(models: list[ClassifierMixin], path: Path) -> tuple[float, float]:
    """Seconds, and those of the processor, that the models' own `predict_proba` takes on all rows, read beforehand."""
    spent, used = 0.0, 0.0
    for batch in parquet.ParquetFile(path).iter_batches(CHUNK):
        frame = batch.to_pandas().drop(columns="y")
        began, before = time.perf_counter(), time.process_time()
        for model in models:
            model.predict_proba(frame)
        spent, used = spent + time.perf_counter() - began, used + time.process_time() - before
    return spent, used


class Peaks:
    """The most anonymous memory of an evaluation's process, and of any below it, while this lasts: no file backs it."""

    def __init__(self) -> None:
        self.evaluation = self.model = 0
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
            self.evaluation = max([self.evaluation, *map(_anonymous, below[:1])])
            self.model = max([self.model, *map(_anonymous, below[1:])])


def _anonymous(pid: int) -> int:
    try:
        found = re.search(r"^RssAnon:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def evaluated(folder: Path, path: Path, count: int) -> tuple[float, Seen, Peaks]:
    """Seconds, what was found, and the peaks of memory; in a process of its own, as evaluations are."""
    models = [Model("m", number, name, str(folder / name)) for number, name in ((2, "deep"), (1, "flat"))]
    job = Job(models[0], models[1], Source(str(path)), "y", ("roc_auc", "log_loss"), max_rows=count, timeout=7_200.0)
    local = Local(folder / "home")
    began = time.perf_counter()
    with Peaks() as peaks:
        local.start(job)
        while (seen := local.observe(job)).state == RUNNING:
            time.sleep(EVERY)
        os.wait()
    return time.perf_counter() - began, seen, peaks


def main(count: int, columns: int, trees: int) -> None:
    """Print what was measured."""
    with tempfile.TemporaryDirectory(prefix="evaluating-") as name:
        folder = Path(name)
        path = folder / "holdout.parquet"
        holdout(path, count, columns)
        models = [saved(folder, "flat", 3, columns, trees), saved(folder, "deep", 6, columns, trees)]
        own, own_used = alone(models, path)
        subprocess.run(["sync"], check=True)  # noqa: S607 - what was written is out of the way
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
        before = cpu.ru_utime + cpu.ru_stime + time.process_time()
        seconds, seen, peaks = evaluated(folder, path, count)
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = cpu.ru_utime + cpu.ru_stime + time.process_time() - before
        print(f"rows {count:,}, columns {columns}: {seen.state} {seen.why}")
        print(f"the two models' own predictions  {own:8.1f} s")
        print(f"the whole evaluation             {seconds:8.1f} s   {seconds / own:.2f} ×")
        print(f"processor time: own, whole       {own_used:8.1f} s {used:8.1f} s   {used / own_used:.2f} ×")
        print(f"memory: the evaluation {peaks.evaluation / 2**20:,.0f} MB, a model {peaks.model / 2**20:,.0f} MB")


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*[*given, *(ROWS, COLUMNS, TREES)[len(given) :]])
