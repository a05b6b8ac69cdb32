"""Evaluations on this machine: begun in a process that outlives whoever began it, and looked at in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.data import look
from evaluation.errors import ELSEWHERE, Impossible
from evaluation.job import Job
from evaluation.store import Store, held, read_json, write_json

AGAIN = 600.0
"""Seconds after which a failure is forgotten: what caused it may have been mended."""
ABSENT, RUNNING, FAILED, DONE = "absent", "running", "failed", "done"


@dataclass(frozen=True)
class Seen:
    """One evaluation as it is: `absent`, `running`, `failed` or `done`."""

    state: str
    since: float = 0.0
    why: str = ""
    fault: str = ELSEWHERE
    result: dict[str, Any] | None = None


class Local:
    """Evaluations in one folder."""

    def __init__(self, home: Path, *, again: float = AGAIN) -> None:
        self.home, self._store, self._again = home, Store(home), again

    def start(self, job: Job) -> None:
        """Begin, unless it is under way or done. Raises Impossible and EvaluationFailed where it cannot be begun."""
        rows = look(job.data, job.tracking_uri)
        _check(job)
        key = job.key(rows.token)
        if self._seen(key).state in (RUNNING, DONE):
            return
        with held(self._store.lock(key), wait=False) as lock:
            if lock is None:
                return
            before, failed = read_json(self._store.job(key)), self._result(key)
            if failed is not None:
                self._store.result(key).unlink()
            # Counted over processes that were killed, from the last result on.
            tries = before.get("tries", 0) + 1 if isinstance(before, dict) and failed is None else 1
            asked = {"job": job.to_json(), "token": rows.token, "since": time.time(), "tries": tries}
            write_json(self._store.job(key), asked)
            _begin(self._store.home, key, self._store.log(key), lock)

    def observe(self, job: Job) -> Seen:
        """How far it is, with the data as it is now. Raises Impossible and EvaluationFailed where that is not known."""
        return self._seen(job.key(look(job.data, job.tracking_uri).token))

    def _result(self, key: str) -> dict[str, Any] | None:
        found = read_json(self._store.result(key))
        return found if isinstance(found, dict) else None

    def _seen(self, key: str) -> Seen:
        found, asked = self._result(key), read_json(self._store.job(key))
        since = float(asked.get("since", 0.0)) if isinstance(asked, dict) else 0.0
        if found is None:
            if asked is None:
                return Seen(ABSENT)
            with held(self._store.lock(key), wait=False) as lock:
                if lock is None:
                    return Seen(RUNNING, since)
            # It may have ended between the two looks.
            found = self._result(key)
            if found is None:
                return Seen(ABSENT)
        at = float(found["at"])
        if found["state"] == DONE:
            return Seen(DONE, since, result=found)
        if time.time() > at + self._again:
            return Seen(ABSENT)
        return Seen(FAILED, at, str(found["why"]), str(found["fault"]))


def _check(job: Job) -> None:
    from evaluation.statistics import NotComparable, metric

    for name in job.metrics:
        try:
            metric(name)
        except NotComparable as error:
            raise Impossible(str(error)) from error


def _begin(home: Path, key: str, log: Path, lock: int) -> None:
    """A process that goes on when the one that began it ends, and holds the lock for as long as it runs."""
    root = str(Path(__file__).parents[1])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    with log.open("ab") as out:
        subprocess.Popen(
            [sys.executable, "-m", "evaluation", str(home.absolute()), key],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environ,
            pass_fds=(lock,),
            start_new_session=True,
        )
