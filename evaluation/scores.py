"""One model's answers on the rows: made in a bounded child, checked, and kept with what each row loses."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from evaluation import spark
from evaluation.answers import Answers, checked
from evaluation.bounded import Bounded, Ended
from evaluation.columns import Columns
from evaluation.data import Rows
from evaluation.environments import described, interpreter
from evaluation.errors import EvaluationFailed, ModelFailed
from evaluation.identity import Identity
from evaluation.job import Job, Model
from evaluation.models import fetched
from evaluation.rows import Kept, used
from evaluation.store import Store, placed, read_json, write_json

if TYPE_CHECKING:
    import pyarrow as pa

CHILD, SPARK_CHILD = (Path(__file__).with_name(name) for name in ("child.py", "spark_child.py"))
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that a model's process gets: none that could hold a secret."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
AT_ONCE = 2
"""Models that are scored side by side."""


@dataclass(frozen=True)
class Scores:
    """One model on all rows."""

    folder: Path
    seconds: float
    """That scoring took when it was done."""
    classes: tuple[Any, ...]

    def answers(self) -> Answers:
        """What it said, row by row."""
        return Answers(Columns(self.folder / "predictions.parquet"), self.classes)


def scores(job: Job, model: Model, rows: Rows, kept: Kept, store: Store, log: Path) -> Scores:
    """Score one model on these rows, unless it was scored on them before.

    Raises ModelFailed where the model is at fault, EvaluationFailed where the data or the machine is.
    """
    proba = wants_probabilities(job)
    folder = store.scores(model.key, f"{kept.identity[:32]}-{_part(job, proba=proba)}")
    found = read_json(folder / "manifest.json")
    if not isinstance(found, dict):
        found = _score(job, model, rows, kept, store, folder, log)
    return Scores(folder, float(found["seconds"]), tuple(found["classes"]))


def wants_probabilities(job: Job) -> bool:
    """Whether any metric is made of probabilities."""
    from evaluation.statistics import Needs, metric

    return any(metric(name).needs is Needs.PROBABILITY for name in job.metrics)


def wants_output(job: Job) -> bool:
    """Whether any metric is made of what a model answers, and not of its probabilities."""
    from evaluation.statistics import Needs, metric

    return any(metric(name).needs is not Needs.PROBABILITY for name in job.metrics)


def _part(job: Job, *, proba: bool) -> str:
    """What else an answer depends on: the target decides which columns are features."""
    import hashlib

    about = json.dumps([job.target, sorted(job.metrics), proba])
    return hashlib.sha256(about.encode()).hexdigest()[:12]


def _score(job: Job, model: Model, rows: Rows, kept: Kept, store: Store, folder: Path, log: Path) -> dict[str, Any]:
    path = fetched(model, job.tracking_uri, store)
    command = [*_command(job, path, store, log), str(path)]
    began = time.monotonic()
    with placed(folder) as spare:
        raw = spare / "work" / "answers.arrow"
        raw.parent.mkdir(mode=0o700)
        identity = _run(job, rows, [*command, str(raw), _order(job, kept, path)], raw, log)
        if identity != kept.identity:
            raise EvaluationFailed(f"The holdout {rows.source.uri} changed while it was read.")
        answers = checked(job, kept, raw, spare / "predictions.parquet")
        shutil.rmtree(raw.parent, ignore_errors=True)
        manifest = {
            "model": model.key,
            "name": model.name,
            "version": model.version,
            "data": kept.identity,
            "rows": kept.rows,
            "classes": list(answers.classes),
            "columns": answers.columns.names,
            "seconds": round(time.monotonic() - began, 3),
        }
        write_json(spare / "manifest.json", manifest)
    return manifest


def _command(job: Job, model: Path, store: Store, log: Path) -> tuple[str, str]:
    """The interpreter and the program that score."""
    if job.master is None:
        return interpreter(model, store, log), str(CHILD)
    # Workers of other machines have libraries of their own, and only hand the answers on here.
    far = spark.is_far(job.master)
    return sys.executable if far else interpreter(model, store, log, (f"pyspark=={spark.pyspark()}",)), str(SPARK_CHILD)


def _order(job: Job, kept: Kept, model: Path) -> str:
    wanted = {"features": list(kept.features), "proba": wants_probabilities(job), "output": wants_output(job)}
    if job.master is None:
        return json.dumps(wanted)
    python, requirements, _ = described(model) if spark.is_far(job.master) else ("", (), "")
    return json.dumps(wanted | {"master": job.master, "python": python, "requirements": requirements})


def _run(job: Job, rows: Rows, command: list[str], raw: Path, log: Path) -> str:
    """Let the child score the rows; the identity of what it was sent."""
    import pyarrow as pa

    passed_on = (*PASSED_ON, *spark.PASSED_ON) if job.master else PASSED_ON
    environ = _threads(job) | {name: os.environ[name] for name in passed_on if name in os.environ}
    environ |= {"TMPDIR": str(raw.parent), "MLFLOW_TRACKING_URI": f"sqlite:///{raw.parent}/none.db"}
    identity = Identity(rows.schema())

    def write(pipe: IO[bytes]) -> None:
        sent: pa.Schema | None = None
        stream = None
        for batch in used(job, rows, identity):
            features = batch.drop_columns([job.target])
            if stream is None:
                sent = features.schema
                stream = pa.ipc.new_stream(pipe, sent)
            stream.write_batch(features)
        if stream is not None:
            stream.close()

    child = Bounded(command, environ, log, memory=job.memory, seconds=job.timeout, folder=raw.parent)
    try:
        child.feed(write)
    except Ended as error:
        told = read_json(Path(f"{raw}.error"))
        if isinstance(told, dict) and told.get("step") == spark.STEP:
            how = "" if "it ended with exit code" in str(error) else f", and {error}"
            why = str(told.get("why")).rstrip(".")
            raise EvaluationFailed(f"Spark at {job.master} cannot score: {why}{how}.") from error
        if isinstance(told, dict) and "it ended with exit code" in str(error):
            doing = "be loaded" if told.get("step") == "load" else "score the holdout"
            raise ModelFailed(f"it could not {doing}: {told.get('why')}") from error
        raise ModelFailed(str(error)) from error
    return identity.hexdigest()


def _threads(job: Job) -> dict[str, str]:
    """Each of the models has its part of the processors, each worker of Spark one, and threads that wait do not spin.

    Two that each take all of them wait for each other: that cost six times the processor time where it was measured.
    """
    mine = "1" if job.master else str(max(len(os.sched_getaffinity(0)) // AT_ONCE, 1))
    return dict.fromkeys(THREADS, mine) | {"OMP_WAIT_POLICY": "PASSIVE"}
