"""Jobs of Databricks, batch and continuous: the default of one job parameter is the pointer that the deployer moves.

Parameters and tags of a job are replaced as a whole by an update, in one call: they are read, changed and written
together. A run keeps the parameters it was started with, so a stream serves what its active run was given.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from deployers.databricks.workspace import AGAIN, CALL, PATIENCE, Workspaces, absent, text_of, translated
from watcher.errors import Conflict, Terminal, Transient, UserError
from watcher.text import plain
from watcher.values import Example, Observed, Probe, Release, SeenRelease, State, Target, Version, Wrote

if TYPE_CHECKING:
    from databricks.sdk.service.jobs import BaseRun, Job, Run, RunNowResponse

ALL = 100
OWNER, MODEL, TOKEN = "watcher_owner", "watcher_model", "watcher_token"
STAGED = "watcher_release_"
"""Tag of a staged release: its name follows; the value is its identity's key and, after a colon, its trial run."""
OUTPUT = "output"
"""Parameter that says what a job writes, as the bundle's jobs have it; their batch runs are folders `run=RUN`."""
MOST_RUNS = 25
"""Ended runs that are looked through: one page."""
MOST_TAGS = 25
"""Databricks forwards a job's tags to its clusters and takes no more."""
_URI = re.compile(r"models:/(?P<model>[^/@]+)/(?P<version>\d+)$")


@dataclass(frozen=True, slots=True)
class _Staged:
    key: str
    run: int | None
    """The trial run that scores some rows, None where none is asked for."""

    @property
    def version(self) -> int:
        return int(self.key.partition("-")[0])


@dataclass(frozen=True, slots=True)
class _Seen:
    """One read of a job."""

    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    pointer: str
    """What the next run will be given."""
    runs: tuple[BaseRun, ...]
    """Active ones; only looked at for a stream."""

    @property
    def token(self) -> str:
        return f"{self.tags.get(TOKEN, '')}.{self.pointer}"

    @property
    def staged(self) -> dict[str, _Staged]:
        found = {}
        for tag, value in self.tags.items():
            key, _, run = value.partition(":")
            if tag.startswith(STAGED) and re.fullmatch(r"\d+-[0-9a-f]{6}", key):
                found[tag.removeprefix(STAGED)] = _Staged(key, int(run) if run.isdecimal() else None)
        return found


class DatabricksJobs:
    """Moves jobs of a workspace; `target.settings` name the job and the parameter that holds the model's URI."""

    atomic = False
    lease = 4 * (CALL + PATIENCE)

    def __init__(self, kind: str, workspaces: Workspaces | None = None, *, stream: bool = False) -> None:
        self._kind, self._stream = kind, stream
        self._workspaces = workspaces or Workspaces()

    def observe(self, target: Target) -> Observed:
        seen = self._read(target)
        ours = _ours(seen, target)
        serving = self._serving(seen, target)
        live = _named(seen, target, serving)
        wrote = self._wrote(target, seen, live) if ours else {}
        staged = seen.staged.items() if ours else ()
        releases = [replace(self._release(target, name, one), wrote=wrote.get(name)) for name, one in staged]
        if serving and live not in {release.name for release in releases}:
            releases.append(SeenRelease(live, _version(serving), "", State.READY, ours=False))
        return Observed(
            releases=tuple(releases),
            weights={live: ALL} if serving else {},
            token=seen.token,
            adopted=ours or not serving or OWNER in seen.tags,
            problem=_foreign(seen, target) if OWNER in seen.tags and not ours else None,
            moving=self._restarting(seen, target),
            delayed=self._stream,
        )

    def launch(self, release: Release) -> None:
        target, key = release.target, release.version.identity.key
        seen = self._read(target)
        if OWNER not in seen.tags and seen.pointer:
            raise Conflict(f"The job {_job(target)} was not adopted.")
        _mine(seen, target)
        found = seen.staged.get(release.name)
        if found is not None and found.key != key:
            raise Conflict(f"{release.name} is there for another version than v{release.version.number}.")
        if found is not None and self._state(target, found)[0] is not State.FAILED:
            return
        run = self._try(release, found.run if found is not None else None)
        tags = {**seen.tags, STAGED + release.name: key if run is None else f"{key}:{run}"}
        if len({**tags, OWNER: "", MODEL: "", TOKEN: ""}) > MOST_TAGS:
            raise Terminal(f"The job {_job(target)} has no room for another tag: Databricks takes {MOST_TAGS}.")
        self._write(target, seen, tags={**tags, OWNER: target.owner, MODEL: target.model})

    def probe(self, release: Release, example: Example) -> Probe:
        """What the trial run came to: it read the version that it scored with from the parameter it was given."""
        target = release.target
        seen = self._read(target)
        found = seen.staged.get(release.name)
        if found is None or self._state(target, found)[0] is not State.READY:
            raise Conflict(f"{release.name} is not ready on the job {_job(target)}.")
        if found.run is None:
            return Probe(
                ok=True, version=found.version, detail="staged; `trial` names no parameters to score rows with"
            )
        given = {p.name: p.value for p in self._run(target, found.run).job_parameters or ()}
        uri = str(given.get(self._parameter(target)))
        ok = uri == _uri(release.version)
        return Probe(ok=ok, version=_version(uri), detail=f"trial run {found.run} was given {plain(uri)}")

    def shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        now = self._read(target)
        _mine(now, target)
        if now.token != seen:
            raise Conflict(f"The job {_job(target)} was changed since it was seen.")
        if weights and sum(weights.values()) != ALL:
            raise Terminal(f"Weights must sum to 100, not {sum(weights.values())}.")
        live = [name for name, percent in weights.items() if percent]
        if len(live) > 1:
            raise Terminal(f"A job runs one version: {', '.join(live)} cannot share it.")
        pointer = ""
        for name in live:
            found = now.staged.get(name)
            if found is None or self._state(target, found)[0] is not State.READY:
                raise Conflict(f"{name} is not ready on the job {_job(target)}.")
            pointer = f"models:/{target.model}/{found.version}"
        if pointer == now.pointer and self._restarting(now, target):
            raise Transient(f"The stream of the job {_job(target)} is being started again.", AGAIN)
        if pointer != now.pointer or not self._stale(now, target):
            self._write(target, now, pointer, {**now.tags, TOKEN: secrets.token_hex(4)})
        if self._stream:
            self._restart(target, now, pointer)

    def retire(self, target: Target, name: str) -> None:
        seen = self._read(target)
        found = seen.staged.get(name)
        if found is None:
            return
        _mine(seen, target)
        uri = f"models:/{target.model}/{found.version}"
        if uri in {seen.pointer, self._serving(seen, target)}:
            raise Conflict(f"{name} is live on the job {_job(target)}.")
        self._write(target, seen, tags={key: value for key, value in seen.tags.items() if key != STAGED + name})

    def adopt(self, target: Target, version: Version) -> None:
        seen = self._read(target)
        if OWNER in seen.tags:
            _mine(seen, target)
            return
        serving = self._serving(seen, target)
        if serving != _uri(version):
            raise Terminal(f"The job {_job(target)} runs {plain(serving) or 'nothing'}, not {_uri(version)}.")
        tags = {**seen.tags, OWNER: target.owner, MODEL: target.model}
        self._write(target, seen, tags=tags)

    def check(self, target: Target) -> Sequence[str]:
        try:
            seen = self._read(target)
        except (Transient, Terminal, Conflict) as error:
            return [str(error)]
        if OWNER in seen.tags:
            return [] if _ours(seen, target) else [_foreign(seen, target)]
        if seen.pointer:
            return [f"The job {_job(target)} runs {plain(seen.pointer)} already: lend it with `watcher adopt`."]
        return []

    def _parameter(self, target: Target) -> str:
        return text_of(target.settings, "parameter", self._kind)

    def _read(self, target: Target) -> _Seen:
        doing, job = f"read the job {_job(target)}", _job(target)
        with translated(doing):
            jobs = self._workspaces.of(target.settings).jobs
            try:
                found: Job = jobs.get(job)
            except Exception as error:
                if absent(error):
                    raise Transient(f"There is no job {job}, or it may not be seen: check `job_id`.", 300.0) from None
                raise
            runs = tuple(jobs.list_runs(job_id=job, active_only=True)) if self._stream else ()
        settings = found.settings
        parameters = {p.name: p.default for p in (settings.parameters if settings else None) or ()}
        name = self._parameter(target)
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise Transient(f"The job {job} has no parameter {name!r}; it has {plain(known)}.", 300.0)
        return _Seen(parameters, dict((settings.tags if settings else None) or {}), parameters[name], runs)

    def _write(
        self, target: Target, seen: _Seen, pointer: str | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        from databricks.sdk.service.jobs import JobParameterDefinition, JobSettings

        asked = JobSettings(tags=dict(seen.tags if tags is None else tags))
        if pointer is not None:
            changed = {**seen.parameters, self._parameter(target): pointer}
            asked = replace(asked, parameters=[JobParameterDefinition(name, value) for name, value in changed.items()])
        with translated(f"change the job {_job(target)}"):
            self._workspaces.of(target.settings).jobs.update(_job(target), new_settings=asked)

    def _serving(self, seen: _Seen, target: Target) -> str:
        """The URI that is in force: the pointer, or what the oldest active run of a stream was given."""
        given = [self._given(run, target) for run in seen.runs]
        return given[-1] if given else seen.pointer

    def _given(self, run: BaseRun, target: Target) -> str:
        for parameter in run.job_parameters or ():
            if parameter.name == self._parameter(target):
                return (parameter.default if parameter.value is None else parameter.value) or ""
        return ""

    def _stale(self, seen: _Seen, target: Target) -> list[BaseRun]:
        return [run for run in seen.runs if self._given(run, target) != seen.pointer]

    def _restarting(self, seen: _Seen, target: Target) -> bool:
        stale = self._stale(seen, target)
        return bool(stale) and all(_ending(run) for run in stale)

    def _restart(self, target: Target, seen: _Seen, pointer: str) -> None:
        """End the runs with another version once; the job starts its next run by itself."""
        with translated(f"restart the stream of the job {_job(target)}"):
            jobs = self._workspaces.of(target.settings).jobs
            for run in seen.runs:
                if self._given(run, target) != pointer and not _ending(run) and run.run_id is not None:
                    jobs.cancel_run(run.run_id)

    def _wrote(self, target: Target, seen: _Seen, live: str) -> dict[str, Wrote]:
        """By the name of a release that is off: when ended runs wrote with it, as far as the workspace still knows.

        What counts rows is in the output; a batch run that failed left no folder that looks done.
        """
        off = {f"models:/{target.model}/{one.version}": name for name, one in seen.staged.items() if name != live}
        if not off:
            return {}
        with translated(f"list the runs of the job {_job(target)}"):
            jobs = self._workspaces.of(target.settings).jobs
            ended = list(islice(jobs.list_runs(job_id=_job(target), completed_only=True), MOST_RUNS))
        tried = {one.run for one in seen.staged.values()}
        runs: dict[str, list[BaseRun]] = {}
        for run in reversed(ended):
            name = off.get(self._given(run, target))
            if name is not None and run.run_id not in tried and (self._stream or _succeeded(run)):
                runs.setdefault(name, []).append(run)
        where = plain(seen.parameters.get(OUTPUT) or f"the output of the job {_job(target)}", 300)
        return {name: self._told(some, where) for name, some in runs.items()}

    def _told(self, runs: Sequence[BaseRun], where: str) -> Wrote:
        since, until = min(run.start_time or 0 for run in runs), max(run.end_time or 0 for run in runs)
        folders = () if self._stream else tuple(f"run={run.run_id}" for run in runs)
        return Wrote(None, since / 1_000, until / 1_000, where, folders)

    def _try(self, release: Release, before: int | None) -> int | None:
        """Start the run that scores some rows unwritten; asked again with the same token it is the same run."""
        target = release.target
        trial = target.settings.get("trial")
        if not trial:
            return None
        parameters = {str(key): str(value) for key, value in trial.items() if key != "job_id"}
        with translated(f"try {release.name}"):
            started: RunNowResponse = (
                self._workspaces.of(target.settings)
                .jobs.run_now(
                    _number(trial.get("job_id", _job(target)), "trial.job_id"),
                    idempotency_token=f"{release.name}-{before or 0}"[:64],
                    job_parameters={**parameters, self._parameter(target): _uri(release.version)},
                )
                .response
            )
        return started.run_id

    def _run(self, target: Target, run: int) -> Run:
        with translated(f"read the trial run {run}"):
            return self._workspaces.of(target.settings).jobs.get_run(run)

    def _release(self, target: Target, name: str, staged: _Staged) -> SeenRelease:
        state, detail = self._state(target, staged)
        return SeenRelease(name, staged.version, staged.key, state, detail=detail)

    def _state(self, target: Target, staged: _Staged) -> tuple[State, str]:
        from databricks.sdk.service.jobs import RunLifecycleStateV2State

        if staged.run is None:
            return State.READY, ""
        try:
            run = self._run(target, staged.run)
        except Conflict:
            return State.FAILED, f"The trial run {staged.run} is gone."
        status = run.status
        if status is None or status.state is not RunLifecycleStateV2State.TERMINATED:
            return State.STARTING, ""
        if _succeeded(run):
            return State.READY, ""
        end = status.termination_details
        said = (end.message if end is not None else None) or "it did not succeed"
        return State.FAILED, plain(f"The trial run {staged.run} failed: {said}", 500)


def place(kind: str, settings: Mapping[str, Any]) -> str:
    """`databricks-job:https://adb-1.2.azuredatabricks.net:421:model_uri`: one parameter of one job."""
    parameter = text_of(settings, "parameter", kind)
    where = [settings["host"]] if settings.get("host") else []
    return ":".join([kind, *where, str(_number(settings.get("job_id"), "job_id")), parameter])


def _named(seen: _Seen, target: Target, uri: str) -> str:
    """The staged release that a URI stands for; else a name of what somebody else put there."""
    for name, staged in seen.staged.items():
        if uri == f"models:/{target.model}/{staged.version}":
            return name
    return f"foreign-v{_version(uri)}"


def _version(uri: str) -> int:
    found = _URI.match(uri)
    return int(found["version"]) if found else 0


def _uri(version: Version) -> str:
    return f"models:/{version.identity.name}/{version.number}"


def _ending(run: BaseRun) -> bool:
    from databricks.sdk.service.jobs import RunLifecycleStateV2State

    return run.status is not None and run.status.state is RunLifecycleStateV2State.TERMINATING


def _succeeded(run: BaseRun | Run) -> bool:
    from databricks.sdk.service.jobs import TerminationCodeCode

    end = run.status.termination_details if run.status is not None else None
    return end is not None and end.code is TerminationCodeCode.SUCCESS


def _ours(seen: _Seen, target: Target) -> bool:
    return (seen.tags.get(OWNER), seen.tags.get(MODEL)) == (target.owner, target.model)


def _mine(seen: _Seen, target: Target) -> None:
    if OWNER in seen.tags and not _ours(seen, target):
        raise Terminal(_foreign(seen, target))


def _foreign(seen: _Seen, target: Target) -> str:
    whose = f"the model {seen.tags.get(MODEL)} for the owner {seen.tags.get(OWNER)}"
    return plain(f"The job {_job(target)} runs {whose}.", 500)


def _job(target: Target) -> int:
    return _number(target.settings.get("job_id"), "job_id")


def _number(value: object, key: str) -> int:
    if type(value) is not int or value <= 0:
        raise UserError(f"`{key}` must be the number of a Databricks job, not {plain(value)!r}.")
    return value
