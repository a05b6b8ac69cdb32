"""One evaluation from beginning to end, in a process of its own. What was finished before a crash is used again."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.columns import mapped
from evaluation.comparing import compared
from evaluation.data import Rows, look
from evaluation.errors import CHALLENGER, CHAMPION, ELSEWHERE, EvaluationFailed, Impossible, ModelFailed
from evaluation.job import Job, Model, from_json
from evaluation.leaks import Leak, leak
from evaluation.looks import look as counted
from evaluation.rows import Kept, kept
from evaluation.scores import Scores, scores
from evaluation.spark import missing
from evaluation.store import Store, read_json, write_json

MOST_TRIES = 3
"""Times that an evaluation is begun whose process was killed each time."""


def run(home: Path, key: str) -> None:
    """Carry out the job that is kept under `key`, whose lock was handed down; leaves a result, whatever happens."""
    store = Store(home)
    found = read_json(store.job(key))
    if found["tries"] > MOST_TRIES:
        why = f"Its process was killed {MOST_TRIES} times: is there enough memory on this machine?"
        write_json(store.result(key), _failed(why, ELSEWHERE))
    else:
        write_json(store.result(key), result(from_json(found["job"]), found["token"], store, store.log(key)))


def result(
    job: Job, token: str | None, store: Store, log: Path, count: Callable[[str, str, str, int], int] | None = None
) -> dict[str, Any]:
    """What is kept of one evaluation: what was found, or why nothing was.

    `token` is of the holdout as whoever asked saw it, None where it is taken as it is found; `count` numbers the look
    where that is not done in the store: model, data, challenger and the look that is remembered.
    """
    from evaluation.statistics import lying_in

    try:
        with lying_in(partial(mapped, store.home)):
            return _done(job, token, store, log, count or partial(counted, store))
    except EvaluationFailed as error:
        return _failed(str(error), error.fault)
    except Impossible as error:
        return _failed(str(error), ELSEWHERE)
    except (OSError, MemoryError) as error:
        return _failed(f"{type(error).__name__}: {error}", ELSEWHERE)


def _done(
    job: Job, token: str | None, store: Store, log: Path, count: Callable[[str, str, str, int], int]
) -> dict[str, Any]:
    from evaluation.statistics import level

    began = time.monotonic()
    if job.master and (problem := missing(job.master)):
        raise EvaluationFailed(problem)
    rows = look(job.data, job.tracking_uri)
    if token is not None and rows.token != token:
        raise EvaluationFailed(f"The holdout {rows.source.uri} changed before it was read.")
    # Models are loaded while the rows are read for their identity, each in a process of its own: a champion that was
    # scored before costs nothing. On Spark each has all workers.
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1 if job.master else 2) as pool:
        reading = reader.submit(kept, job, rows, store)
        first = pool.submit(_scored, job, job.challenger, CHALLENGER, rows, reading, store, log)
        other = pool.submit(_scored, job, job.champion, CHAMPION, rows, reading, store, log) if job.champion else None
        known, said = reading.result(), leak(job, rows)
        challenger, champion = first.result(), other.result() if other else None
    number, asked = 0, job.confidence
    if champion is not None:
        # A model by itself is compared with nothing: nothing can be won by it, and no look is spent.
        remembered = dict(job.looks).get(known.identity, 0)
        number = count(job.challenger.name, known.identity, job.challenger.key, remembered)
        asked = level(job.confidence, number)
    both = (challenger.answers(), champion.answers() if champion else None)
    try:
        entries, changed = compared(job, known, *both, asked)
    except ModelFailed as error:
        raise EvaluationFailed(f"Version {job.challenger.version}: {error}", CHALLENGER) from error
    return {
        "state": "done",
        "at": time.time(),
        "data": known.identity,
        "rows": known.rows,
        "table_version": known.table_version,
        "scores": entries,
        "level": asked,
        "look": number,
        "changed": changed,
        "seconds": round(time.monotonic() - began, 3),
        **_leak(said),
    }


def _leak(said: Leak) -> dict[str, Any]:
    return {"leak": said.why, "overlap": said.overlap, "leak_unknown": said.unknown}


def _scored(job: Job, model: Model, fault: str, rows: Rows, reading: Future[Kept], store: Store, log: Path) -> Scores:
    from evaluation.statistics import lying_in

    try:
        with lying_in(partial(mapped, store.home)):
            return scores(job, model, rows, reading, store, log)
    except ModelFailed as error:
        raise EvaluationFailed(f"Version {model.version}: {error}.", fault) from error


def _failed(why: str, fault: str) -> dict[str, Any]:
    return {"state": "failed", "at": time.time(), "why": why, "fault": fault}
