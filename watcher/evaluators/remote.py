"""Evaluations as jobs of a platform: a request is left in a folder of the platform, a job begun, a result read back.

Everything is in that folder and with the platform, so any watcher may go on where another one was killed, and two at
once begin one run: which attempt is the next one follows from what both of them see.
"""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from watcher.errors import Conflict, Terminal, Transient
from watcher.evaluations import Comparison, Evaluate, Evaluated, Evaluation, Fault, Progress, Run
from watcher.evaluators.requests import job_of
from watcher.evaluators.results import comparison_of
from watcher.text import plain, secret_values, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evaluation.job import Job

AGAIN = 600.0
"""Seconds after which a failure is forgotten: what caused it may have been mended."""
TRIALS = "trials"
"""Below the home: what is only tried."""
MOST_WHY = 500
_USER = re.compile(r"//[^/@]*@")


class Platform(Protocol):
    """Where the jobs run. Methods raise only `Transient`, `Terminal` or `Conflict`, and none of them waits."""

    lease: float
    """Seconds that the slower verb of an evaluator may take on it."""

    def token(self, rules: Evaluate) -> str | None:
        """Changes whenever the holdout may have changed; None where the platform does not know of these data."""
        ...

    def read(self, rules: Evaluate, name: str) -> bytes | None:
        """A file of the home, None where there is none."""
        ...

    def write(self, rules: Evaluate, name: str, content: bytes) -> None:
        """Replace a file of the home."""
        ...

    def begin(self, rules: Evaluate, below: str, key: str, attempt: int) -> str:
        """The run of this attempt, begun unless it was before. `below`: part of the home that its request lies in."""
        ...

    def look(self, rules: Evaluate, run: str) -> Run:
        """How far a run is."""
        ...

    def check(self, rules: Evaluate) -> Sequence[str]:
        """What would fail, one sentence each."""
        ...


@dataclass(frozen=True)
class _Asked:
    attempt: int
    since: float
    run: str | None
    """None: it may have been begun, and whoever did so was killed before it wrote that down."""
    ended: float | None = None
    """When its run was first seen to have ended without a result, where the platform tells no time."""


@dataclass(frozen=True)
class _Found:
    """A result. `attempt` is that of the request that the job read."""

    attempt: int
    at: float
    why: str = ""
    fault: Fault = Fault.ELSEWHERE
    comparison: Comparison | None = None


class RemoteEvaluator:
    """The port, on a platform."""

    def __init__(
        self,
        platform: Platform,
        tracking_uri: str | None,
        environ: Mapping[str, str],
        below: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        # The job signs in by itself; what this host signs in with is written nowhere.
        self._tracking_uri = _USER.sub("//", tracking_uri) if tracking_uri else None
        self._platform, self._host_uri, self._below, self._clock = platform, tracking_uri, below, clock
        self._secrets = secret_values(environ)
        self.lease = platform.lease

    def start(self, evaluation: Evaluation) -> None:
        rules, job = evaluation.rules, self._job(evaluation)
        try:
            key = job.key(self._token(rules))
            seen, asked = self._seen(rules, job, key)
            if seen.progress in (Progress.RUNNING, Progress.DONE):
                return
            attempt = asked.attempt + (asked.run is not None) if asked is not None else 1
            since = self._clock()
            self._ask(rules, key, job, _Asked(attempt, since, None))
            run = self._platform.begin(rules, self._below, key, attempt)
            self._ask(rules, key, job, _Asked(attempt, since, run))
        except Conflict as error:
            raise Transient(self._safe(str(error))) from None

    def observe(self, evaluation: Evaluation) -> Evaluated:
        rules = evaluation.rules
        try:
            job = self._job(evaluation)
            return self._seen(rules, job, job.key(self._token(rules)))[0]
        except (Conflict, Terminal) as error:
            return Evaluated(Progress.FAILED, why=self._safe(str(error)))

    def check(self, rules: Evaluate) -> Sequence[str]:
        problems = [*self._platform.check(rules)]
        if not problems:
            try:
                self._token(rules)
            except (Transient, Terminal, Conflict) as error:
                problems = [str(error)]
        return [self._safe(problem) for problem in problems]

    def _job(self, evaluation: Evaluation) -> Job:
        return job_of(evaluation, evaluation.rules.data.uri, self._tracking_uri)

    def _token(self, rules: Evaluate) -> str:
        """Of the holdout as it is now: a fixed version of a table never changes, and needs no look."""
        from evaluation.data import look
        from evaluation.errors import EvaluationFailed, Impossible
        from evaluation.job import Source

        data = rules.data
        if data.version is not None:
            return f"version {data.version}"
        known = self._platform.token(rules)
        if known is not None:
            return known
        try:
            return look(Source(data.uri, data.format), self._host_uri).token
        except (EvaluationFailed, Impossible) as error:
            raise Terminal(str(error)) from error

    def _seen(self, rules: Evaluate, job: Job, key: str) -> tuple[Evaluated, _Asked | None]:
        found, asked = self._found(rules, key), self._asked(rules, key)
        since = asked.since if asked is not None else 0.0
        if (over := self._over(found, asked, since)) is not None:
            return over, asked
        if asked is None or asked.run is None:
            return Evaluated(Progress.ABSENT), asked
        run = self._platform.look(rules, asked.run)
        if not run.ended:
            return Evaluated(Progress.RUNNING, since, self._safe(run.why)), asked
        # It may have ended between the two looks.
        found = self._found(rules, key)
        if (over := self._over(found, asked, since)) is not None:
            return over, asked
        at = run.at or asked.ended
        if not at:
            at = self._clock()
            self._ask(rules, key, job, replace(asked, ended=at))
        return self._failed(at, f"Its run {asked.run} ended without a result: {run.why}"), asked

    def _over(self, found: _Found | None, asked: _Asked | None, since: float) -> Evaluated | None:
        """What a result says; None where there is none of the newest attempt."""
        if found is None:
            return None
        if found.comparison is not None:
            return Evaluated(Progress.DONE, since, comparison=found.comparison)
        if asked is not None and found.attempt < asked.attempt:
            return None
        return self._failed(found.at, found.why, found.fault)

    def _failed(self, at: float, why: str, fault: Fault = Fault.ELSEWHERE) -> Evaluated:
        # The clock of the platform may be ahead.
        at = min(at, self._clock())
        if self._clock() > at + AGAIN:
            return Evaluated(Progress.ABSENT)
        return Evaluated(Progress.FAILED, at, self._safe(why), fault)

    def _ask(self, rules: Evaluate, key: str, job: Job, asked: _Asked) -> None:
        about = {"job": job.to_json(), "attempt": asked.attempt, "since": asked.since}
        about |= {"run": asked.run, "ended": asked.ended}
        self._platform.write(rules, self._name("jobs", key), json.dumps(about).encode())

    def _asked(self, rules: Evaluate, key: str) -> _Asked | None:
        about = _json(self._platform.read(rules, self._name("jobs", key)))
        try:
            run, ended = about["run"], about["ended"]
            return _Asked(
                int(about["attempt"]),
                float(about["since"]),
                None if run is None else str(run),
                None if ended is None else float(ended),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def _found(self, rules: Evaluate, key: str) -> _Found | None:
        """The result; what is no result of an evaluation counts as none."""
        about = _json(self._platform.read(rules, self._name("results", key)))
        try:
            attempt, at = int(about["attempt"]), float(about["at"])
            if not math.isfinite(at):
                return None
            if about["state"] == "failed":
                return _Found(attempt, at, str(about["why"]), Fault(about["fault"]))
            if about["state"] == "done":
                return _Found(attempt, at, comparison=comparison_of(about, rules))
        except (KeyError, TypeError, ValueError):
            pass
        return None

    def _name(self, kind: str, key: str) -> str:
        return "/".join(filter(None, (self._below, kind, f"{key}.json")))

    def _safe(self, text: str) -> str:
        return plain(without_secrets(text, self._secrets), MOST_WHY)


def _json(content: bytes | None) -> dict[str, Any]:
    """The mapping that it holds; an empty one where it holds something else."""
    try:
        found = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
