"""One model on Spark, in a process of its own: as `child`, and Spark's workers score the rows. Run by its path.

The rows come over the same pipe in the same order, and go on to the workers a few at a time. So they are the very rows
that a process of this machine would score, whatever they were read from, and a worker needs to reach neither the
holdout nor this project: what it runs is sent to it by value, for which see `_held`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import types
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

# In the place of this script's folder, for as long as it takes: a model may have modules of these names too.
sys.path[0] = str(Path(__file__).resolve().parents[1])
from evaluation import child  # noqa: E402
from evaluation.child import Said, Scorer, said, unfit  # noqa: E402
from evaluation.spark import STEP, is_far  # noqa: E402

del sys.path[0]

ROWS, PIECE, WINDOW = 4_096, 16 * 2**20, 256 * 2**20
"""Rows of one task and their bytes, and the bytes that Spark is given at once: what it holds in its own memory."""
TASKS = 4
"""Tasks at once for each core: a slow one does not leave the others idle for long."""
HELD, ARCHIVE = "model that a worker of an evaluation holds", "model.zip"
_SAID = (r"^(?:\w+\.)*(\w+Error: .+)$", r"(\[[A-Z_.]{5,}\] .+)", r"^: (.+)$", r"(.+)")
"""What Spark's pages of Java are about, the most telling first: what a worker raised, Spark's own code, Java's word."""


def main(model_path: str, answers: str, order: str) -> None:
    """Score all rows of the stream on standard input.

    `order` is JSON as `child.main` takes it, and besides: `master`, and of a model whose workers have to bring its
    libraries along `python` and `requirements`.
    """
    rows, wanted = child.only_rows(), json.loads(order)
    # Until a worker is seen, nothing that happens is the model's doing: a cluster may be full.
    child.leave(answers, STEP, "no worker took its rows")
    with child.telling(answers, STEP):
        import pyarrow as pa

        context = _context(wanted["master"], Path(answers).parent)
        where = "" if is_far(wanted["master"]) else model_path
        if not where:
            context.addArchive(shutil.make_archive(answers, "zip", model_path) + f"#{ARCHIVE}")
        _meet(context, wanted)
        batches = pa.ipc.open_stream(rows)
    Path(f"{answers}.error").unlink()
    with child.telling(answers, "load"):
        scorer = _native(model_path, wanted)
    with child.telling(answers, "predict"):
        child.write(scorer.all(batches) if scorer else _by_workers(context, where, batches, wanted), answers)
    context.stop()


def _context(master: str, folder: Path) -> Any:
    from pyspark import SparkConf, SparkContext, cloudpickle

    cloudpickle.register_pickle_by_value(child)
    conf = SparkConf().setMaster(master).setAppName("evaluation")
    conf = conf.set("spark.ui.enabled", "false").set("spark.ui.showConsoleProgress", "false")
    conf = conf.set("spark.local.dir", str(folder))
    if not is_far(master):
        os.environ["PYSPARK_PYTHON"] = sys.executable
        conf = conf.set("spark.driver.host", "127.0.0.1").set("spark.driver.bindAddress", "127.0.0.1")
    context = SparkContext(conf=conf)
    context.setLogLevel("ERROR")
    return context


def _meet(context: Any, wanted: dict[str, Any]) -> None:
    """Wait for a worker. Raises Said where it lacks what the model needs."""
    asked = partial(unfit, wanted["python"], tuple(wanted["requirements"]))
    (why,) = _collected(context.parallelize([0], 1).map(lambda _: asked()))
    if why:
        raise Said(STEP, f"its workers lack what the model needs: {why}")


def _native(model_path: str, wanted: dict[str, Any]) -> Scorer | None:
    """What scores a model of MLlib, None for every other: that one spreads its rows itself, and runs on no worker."""
    import yaml  # type: ignore[import-untyped]

    # MLflow takes seconds to come, and is needed on the workers only.
    if "spark" not in yaml.safe_load(Path(model_path, "MLmodel").read_text(encoding="utf-8"))["flavors"]:
        return None
    import mlflow

    return Scorer(mlflow.pyfunc.load_model(model_path), wanted)


def _by_workers(context: Any, where: str, batches: Iterable[Any], wanted: dict[str, Any]) -> Iterator[Any]:
    """The answers as tables, in the order of the rows."""
    import pyarrow as pa

    first = True
    for window in _windows(batches, TASKS * context.defaultParallelism):
        tasks = [(first and place == 0, piece) for place, piece in enumerate(window)]
        for found in _collected(context.parallelize(tasks, len(tasks)).mapPartitions(partial(_score, where, wanted))):
            if not isinstance(found, bytes):
                raise Said(*found)
            yield pa.ipc.open_stream(found).read_all()
        first = False


def _windows(batches: Iterable[Any], most: int) -> Iterator[list[bytes]]:
    """The rows in pieces, as many as are given to Spark at once."""
    window: list[bytes] = []
    size = 0
    for batch in batches:
        rows = max(min(ROWS, batch.num_rows * PIECE // max(batch.nbytes, 1)), 1)
        for begin in range(0, batch.num_rows, rows):
            piece = _packed(batch.schema, batch.slice(begin, rows))
            if window and (len(window) == most or size + len(piece) > WINDOW):
                yield window
                window, size = [], 0
            window.append(piece)
            size += len(piece)
    if window:
        yield window


def _packed(schema: Any, rows: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write(rows)
    return bytes(sink.getvalue())


def _collected(frame: Any) -> list[Any]:
    """What the workers found. Raises Said where Spark gave up, or a worker's process ended."""
    try:
        return list(frame.collect())
    except Exception as error:
        text = str(error)
        if "Python worker exited unexpectedly" in text:
            raise Said("predict", "the process that scored ended without a word") from error
        found = next(filter(None, (re.search(pattern, text, re.MULTILINE) for pattern in _SAID)), None)
        raise Said(STEP, found[1][: child.MOST] if found else type(error).__name__) from error


def _score(
    where: str, wanted: dict[str, Any], tasks: Iterable[tuple[bool, bytes]]
) -> Iterator[bytes | tuple[str, str]]:
    """On a worker: the answers to each piece, or the step at which it went wrong and why."""
    # A worker without these says nothing about the model.
    import mlflow  # noqa: F401
    import pyarrow as pa

    for first, piece in tasks:
        step = "load"
        found: bytes | tuple[str, str]
        try:
            scorer = _held(where, wanted)
            step = "predict"
            (batch,) = pa.ipc.open_stream(piece)
            table = scorer.answers(batch, first=first)
            found = _packed(table.schema, table)
        except BaseException as error:  # noqa: BLE001 - a model may raise anything, and it is all told
            found = step, said(error)
        yield found


def _held(where: str, wanted: dict[str, Any]) -> Scorer:
    """The worker's copy of the model, loaded once. What is sent by value keeps nothing, and a module does."""
    kept = vars(sys.modules.setdefault(HELD, types.ModuleType(HELD)))
    if "scorer" not in kept:
        import mlflow
        from pyspark import SparkFiles

        kept["scorer"] = Scorer(mlflow.pyfunc.load_model(where or SparkFiles.get(ARCHIVE)), wanted)
    scorer: Scorer = kept["scorer"]
    return scorer


if __name__ == "__main__":
    main(*sys.argv[1:])
