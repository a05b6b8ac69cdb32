"""One model's answers on the rows: made in a bounded child, checked, and kept with what each row loses."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
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
from evaluation.rows import Kept, features, known, used
from evaluation.store import Store, placed, read_json, write_json

if TYPE_CHECKING:
    import pyarrow as pa

CHILD, SPARK_CHILD = (Path(__file__).with_name(name) for name in ("child.py", "spark_child.py"))
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that a model's process gets: none that could hold a secret."""
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


def scores(job: Job, model: Model, rows: Rows, reading: Future[Kept], store: Store, log: Path) -> Scores:
    """Score one model on the rows that are being read for their identity, unless it was scored on them before.

    The model is loaded meanwhile, where it is not known already that its scores are there.
    Raises ModelFailed where the model is at fault, EvaluationFailed where the data or the machine is.
    """
    before = known(job, rows, store)
    found = _found(job, model, before, store) if before else None
    if found is not None:
        return found
    path = fetched(model, job.tracking_uri, store)
    with _loading(job, path, rows, store, log) as loading:
        kept = reading.result()
        return _found(job, model, kept, store) or _score(job, model, rows, kept, store, loading)


def _found(job: Job, model: Model, kept: Kept, store: Store) -> Scores | None:
    folder = _folder(job, model, kept, store)
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict):
        return None
    return Scores(folder, float(manifest["seconds"]), tuple(manifest["classes"]))


def _folder(job: Job, model: Model, kept: Kept, store: Store) -> Path:
    """The target decides which columns are features, so an answer depends on it too."""
    about = json.dumps([job.target, sorted(job.metrics), wants_probabilities(job)])
    return store.scores(model.key, f"{kept.identity[:32]}-{hashlib.sha256(about.encode()).hexdigest()[:12]}")


def wants_probabilities(job: Job) -> bool:
    """Whether any metric is made of probabilities."""
    from evaluation.statistics import Needs, metric

    return any(metric(name).needs is Needs.PROBABILITY for name in job.metrics)


def wants_output(job: Job) -> bool:
    """Whether any metric is made of what a model answers, and not of its probabilities."""
    from evaluation.statistics import Needs, metric

    return any(metric(name).needs is not Needs.PROBABILITY for name in job.metrics)


@dataclass(frozen=True)
class _Loading:
    """A model's process, which loads it and waits for rows, and where it is to leave its answers."""

    child: Bounded
    answers: Path


@contextlib.contextmanager
def _loading(job: Job, model: Path, rows: Rows, store: Store, log: Path) -> Iterator[_Loading]:
    with store.work() as folder:
        answers = folder / "answers.arrow"
        command = [*_command(job, model, store, log), str(model), str(answers), _order(job, rows, model)]
        passed_on = (*PASSED_ON, *spark.PASSED_ON) if job.master else PASSED_ON
        environ = _threads(job) | {name: os.environ[name] for name in passed_on if name in os.environ}
        environ |= {"TMPDIR": str(folder), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/none.db"}
        child = Bounded(command, environ, log, memory=job.memory, seconds=job.timeout, folder=folder)
        try:
            yield _Loading(child, answers)
        finally:
            child.end()


def _score(job: Job, model: Model, rows: Rows, kept: Kept, store: Store, loading: _Loading) -> Scores:
    began = time.monotonic()
    identity = _fed(job, rows, loading)
    if identity != kept.identity:
        raise EvaluationFailed(f"The holdout {rows.source.uri} changed while it was read.")
    folder = _folder(job, model, kept, store)
    with placed(folder) as spare:
        answers = checked(job, kept, loading.answers, spare / "predictions.parquet")
        seconds = round(time.monotonic() - began, 3)
        manifest = {
            "model": model.key,
            "name": model.name,
            "version": model.version,
            "data": kept.identity,
            "rows": kept.rows,
            "classes": list(answers.classes),
            "columns": answers.columns.names,
            "seconds": seconds,
        }
        write_json(spare / "manifest.json", manifest)
    return Scores(folder, seconds, answers.classes)


def _command(job: Job, model: Path, store: Store, log: Path) -> tuple[str, str]:
    """The interpreter and the program that score."""
    if job.master is None:
        return interpreter(model, store, log), str(CHILD)
    # Workers of other machines have libraries of their own, and only hand the answers on here.
    far = spark.is_far(job.master)
    return sys.executable if far else interpreter(model, store, log, (f"pyspark=={spark.pyspark()}",)), str(SPARK_CHILD)


def _order(job: Job, rows: Rows, model: Path) -> str:
    wanted = {"features": features(job, rows), "proba": wants_probabilities(job), "output": wants_output(job)}
    if job.master is None:
        return json.dumps(wanted)
    python, requirements, _ = described(model) if spark.is_far(job.master) else ("", (), "")
    return json.dumps(wanted | {"master": job.master, "python": python, "requirements": requirements})


def _fed(job: Job, rows: Rows, loading: _Loading) -> str:
    """Let the process score the rows; the identity of what it was sent."""
    import pyarrow as pa

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

    try:
        loading.child.feed(write)
    except Ended as error:
        told = read_json(Path(f"{loading.answers}.error"))
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
    """Each of the models has all processors, the one that takes longer to its end; each worker of Spark has one.

    Threads that wait do not spin, without which two models that each take all processors wait for each other: that cost
    six times the processor time where it was measured. OpenBLAS cannot be told not to, so there each has its part.
    """
    count = len(os.sched_getaffinity(0))
    openmp, openblas = (1, 1) if job.master else (count, max(count // AT_ONCE, 1))
    return {
        "OMP_NUM_THREADS": str(openmp),
        "OPENBLAS_NUM_THREADS": str(openblas),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
