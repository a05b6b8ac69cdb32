"""The jobs of the stand-in, API 2.2.

An update replaces top-level fields as a whole and reaches future runs only. `run-now` with a known token starts
nothing. Cancelling takes several looks, and an unpaused continuous job then starts its next run by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from databricks.sdk.service.jobs import (
    BaseRun,
    Continuous,
    Job,
    JobParameter,
    JobParameterDefinition,
    JobSettings,
    PauseStatus,
    RunLifecycleStateV2State,
    RunNowResponse,
    RunStatus,
    TerminationCodeCode,
    TerminationDetails,
)

from tests.databricks.refused import Refused

State = RunLifecycleStateV2State


@dataclass
class Jobs:
    """Jobs and their runs by number."""

    looks: int = 6
    """Reads of a run until it is a state further."""
    settings: dict[int, JobSettings] = field(default_factory=dict)
    runs: dict[int, BaseRun] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    """Version -> why a run that is given it fails."""
    cancelled: list[int] = field(default_factory=list)
    work: dict[int, Callable[[dict[str, str]], None]] = field(default_factory=dict)
    """Job -> what its runs do with their parameters; they are as far as that is, however often they are looked at."""
    working: dict[int, tuple[threading.Thread, list[str]]] = field(default_factory=dict)
    """Run -> what it does, and why it failed."""

    def make(self, job: int, *, continuous: bool = False, pointer: str = "") -> None:
        """A job as a person makes it, with parameters and tags of their own."""
        self.settings[job] = JobSettings(
            name="score",
            parameters=[JobParameterDefinition("model_uri", pointer), JobParameterDefinition("table", "ml.features")],
            tags={"team": "risk"},
            continuous=Continuous(pause_status=PauseStatus.UNPAUSED) if continuous else None,
        )
        if continuous:
            self.make_run(job)

    def given(self, job: int) -> list[str | None]:
        """What the active runs of a job score with."""
        return [_parameter(run, "model_uri") for run in self.active(job)]

    def active(self, job: int) -> list[BaseRun]:
        return [run for run in self.runs.values() if run.job_id == job and _state(run) is not State.TERMINATED]

    def answer(self, verb: str, body: dict[str, Any], now: float) -> Any:
        match verb:
            case "get":
                job = self._job(body)
                return Job(job_id=job, settings=self.settings[job]).as_dict()
            case "update":
                return self._update(self._job(body), body)
            case "run-now":
                return RunNowResponse(run_id=self._run_now(self._job(body), body)).as_dict()
            case "runs/list":
                return {"runs": [run.as_dict() for run in reversed(self._listed(self._job(body), body))]}
            case "runs/get":
                return self._look(self._found(body)).as_dict()
            case "runs/cancel":
                return self._cancel(self._found(body))
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"no API jobs/{verb}")

    def _listed(self, job: int, body: dict[str, Any]) -> list[BaseRun]:
        """Oldest first."""
        if body.get("completed_only") == "true":
            return [run for run in self.runs.values() if run.job_id == job and _state(run) is State.TERMINATED]
        return [run for run in map(self._look, self.active(job)) if _state(run) is not State.TERMINATED]

    def _job(self, body: dict[str, Any]) -> int:
        job = int(body["job_id"])
        if job not in self.settings:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Job {job} does not exist.")
        return job

    def _found(self, body: dict[str, Any]) -> BaseRun:
        run = self.runs.get(int(body["run_id"]))
        if run is None:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Run {body['run_id']} does not exist.")
        return run

    def _update(self, job: int, body: dict[str, Any]) -> Any:
        asked = JobSettings.from_dict(body["new_settings"])
        for name in body["new_settings"]:
            setattr(self.settings[job], name, getattr(asked, name))
        return {}

    def _run_now(self, job: int, body: dict[str, Any]) -> int:
        token = body.get("idempotency_token")
        if token in self.tokens:
            return self.tokens[token]
        run = self.make_run(job, body.get("job_parameters") or {})
        if token:
            self.tokens[token] = run
        return run

    def make_run(self, job: int, given: Mapping[str, str] = MappingProxyType({})) -> int:
        """Start a run of it; its number."""
        number = max(self.left, default=999) + 1
        parameters = self.settings[job].parameters or []
        unknown = set(given) - {parameter.name for parameter in parameters}
        if unknown:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Unknown job parameters {sorted(unknown)}.")
        self.runs[number] = BaseRun(
            run_id=number,
            job_id=job,
            start_time=_now(),
            job_parameters=[JobParameter(p.default, p.name, given.get(p.name)) for p in parameters],
            status=RunStatus(state=State.PENDING),
        )
        self.left[number] = self.looks
        if job in self.work:
            self._begin(number, job, {p.name: given.get(p.name, p.default) for p in parameters})
        return number

    def _begin(self, number: int, job: int, given: dict[str, str]) -> None:
        why: list[str] = []

        def work() -> None:
            try:
                self.work[job](given)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the run tells it
                why.append(str(error))

        thread = threading.Thread(target=work, daemon=True)
        self.working[number] = (thread, why)
        thread.start()

    def _cancel(self, run: BaseRun) -> Any:
        self.cancelled.append(run.run_id or 0)
        if _state(run) is not State.TERMINATED:
            run.status = RunStatus(state=State.TERMINATING)
            self.left[run.run_id or 0] = self.looks
        return {}

    def _look(self, run: BaseRun) -> BaseRun:
        number, job = run.run_id or 0, run.job_id or 0
        if number in self.working:
            return self._worked(run, *self.working[number])
        self.left[number] -= 1
        continuous = self.settings[job].continuous is not None
        if self.left[number] > 0 or _state(run) is State.TERMINATED:
            return run
        if continuous and _state(run) is State.PENDING:
            run.status = RunStatus(state=State.RUNNING)
        elif _state(run) is State.TERMINATING:
            _end(run, TerminationCodeCode.USER_CANCELED, "cancelled")
            if continuous:
                self.make_run(job)
        elif not continuous:
            why = self.broken.get((_parameter(run, "model_uri") or "").rpartition("/")[2])
            _end(run, TerminationCodeCode.RUN_EXECUTION_ERROR if why else TerminationCodeCode.SUCCESS, why)
        return run

    @staticmethod
    def _worked(run: BaseRun, thread: threading.Thread, why: list[str]) -> BaseRun:
        if _state(run) is State.TERMINATED:
            return run
        if thread.is_alive():
            run.status = RunStatus(state=State.RUNNING)
        else:
            code = TerminationCodeCode.RUN_EXECUTION_ERROR if why else TerminationCodeCode.SUCCESS
            _end(run, code, why[0] if why else None)
        return run


def _end(run: BaseRun, code: TerminationCodeCode, message: str | None) -> None:
    run.status = RunStatus(state=State.TERMINATED, termination_details=TerminationDetails(code=code, message=message))
    run.end_time = _now()


def _now() -> int:
    """Milliseconds, as runs are timed."""
    return int(time.time() * 1_000)


def _state(run: BaseRun) -> RunLifecycleStateV2State | None:
    return run.status.state if run.status is not None else None


def _parameter(run: BaseRun, name: str) -> str | None:
    for parameter in run.job_parameters or []:
        if parameter.name == name:
            return parameter.default if parameter.value is None else parameter.value
    return None
