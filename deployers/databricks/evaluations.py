"""Evaluations as runs of a job in a workspace, with requests and results in a folder of a Unity Catalog volume."""

from __future__ import annotations

import json
import posixpath
import time
from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from deployers.databricks.workspace import CALL, Workspaces, absent, connect, translated
from watcher.errors import Conflict, Terminal, Transient
from watcher.evaluations import Evaluate, Run
from watcher.text import plain

if TYPE_CHECKING:
    from databricks.sdk.service.files import FilesAPI

PATIENCE = 2
"""Seconds in which the SDK tries a throttled request again: what is asked here is asked again by the next wake-up."""
CALLS = 8
"""Most calls of one verb: the holdout, three files and the run that are read, two writes, and the run that is begun."""
MOST_RESULT = 16 * 2**20
MOST_FILES = 10_000
PARAMETERS = ("home", "key")
"""Of the job."""
VOLUMES = "/Volumes/"


class DatabricksRuns:
    """Runs of the job `job_id`; it is given the parameters `home` and `key`."""

    # A last attempt begins within the patience, and the wish after it is slept for as long.
    lease = CALLS * (CALL + 2 * PATIENCE)

    def __init__(self, workspaces: Workspaces | None = None) -> None:
        self._workspaces = workspaces or Workspaces(partial(connect, patience=PATIENCE))

    def token(self, rules: Evaluate) -> str | None:
        """Names, sizes and times of the holdout's files where it lies in a volume; of a Delta table those of its log.

        Raises Transient where listing it takes too long, Terminal where it has too many files to be told apart.
        """
        uri = rules.data.uri.rstrip("/")
        if not uri.startswith(VOLUMES):
            return None
        with translated(f"look at the holdout {uri}"):
            files = self._files(rules)
            if rules.data.format == "delta":
                return json.dumps(self._listed(files, posixpath.join(uri, "_delta_log"), uri))
            if posixpath.splitext(uri)[1]:
                try:
                    found = files.get_metadata(uri)
                    return json.dumps([uri, found.content_length, found.last_modified])
                except Exception as error:
                    if not absent(error):
                        raise
            return json.dumps(self._listed(files, uri, uri))

    def read(self, rules: Evaluate, name: str) -> bytes | None:
        path = _path(rules, name)
        with translated(f"read {path}"):
            try:
                found = self._files(rules).download(path).contents
            except Exception as error:
                if absent(error):
                    return None
                raise
            if found is None:
                return None
            with found:
                content = found.read(MOST_RESULT + 1)
        # More than any evaluation writes is no result, and none is what it counts as.
        return content if len(content) <= MOST_RESULT else b""

    def write(self, rules: Evaluate, name: str, content: bytes) -> None:
        path = _path(rules, name)
        with translated(f"write {path}"):
            self._files(rules).upload(path, BytesIO(content), overwrite=True)

    def begin(self, rules: Evaluate, below: str, key: str, attempt: int) -> str:
        """Databricks begins one run for one token, whoever asks and how often."""
        given = {"home": _path(rules, below).rstrip("/"), "key": key}
        with translated(f"run the job {_job(rules)}"):
            started = self._client(rules).jobs.run_now(
                _job(rules), idempotency_token=f"{key}-{attempt}", job_parameters=given
            )
        return str(started.response.run_id)

    def look(self, rules: Evaluate, run: str) -> Run:
        from databricks.sdk.service.jobs import RunLifecycleStateV2State

        if not run.isdecimal():
            return Run(ended=True, why="it is no run of a job")
        try:
            with translated(f"read the run {run}"):
                found = self._client(rules).jobs.get_run(int(run))
        except Conflict:
            return Run(ended=True, why="the workspace knows it no more")
        status = found.status
        if status is None or status.state is not RunLifecycleStateV2State.TERMINATED:
            return Run(ended=False, why=status.state.value.lower() if status is not None and status.state else "")
        end = status.termination_details
        code = end.code.value if end is not None and end.code is not None else "no code"
        said = (end.message if end is not None else None) or ""
        return Run(ended=True, at=(found.end_time or 0) / 1000, why=plain(f"{code} {said}".strip(), 300))

    def check(self, rules: Evaluate) -> Sequence[str]:
        try:
            return [*self._checked(rules)]
        except (Transient, Terminal, Conflict) as error:
            return [str(error)]

    def _checked(self, rules: Evaluate) -> list[str]:
        job, problems = _job(rules), []
        with translated(f"read the job {job}"):
            try:
                settings = self._client(rules).jobs.get(job).settings
            except Exception as error:
                if not absent(error):
                    raise
                return [f"There is no job {job}, or it may not be seen: check evaluate.job.job_id."]
        known = [parameter.name for parameter in (settings.parameters if settings else None) or ()]
        problems += [
            f"The job {job} has no parameter {name!r}; it has {plain(', '.join(known)) or 'none'}: add it."
            for name in PARAMETERS
            if name not in known
        ]
        with translated(f"look at the folder {rules.home}"):
            try:
                self._files(rules).get_directory_metadata(rules.home)
            except Exception as error:
                if not absent(error):
                    raise
                problems.append(f"There is no folder {rules.home}, or it may not be seen: make it, or correct home.")
        return problems

    def _listed(self, files: FilesAPI, folder: str, uri: str) -> list[Any]:
        """Every file beneath a folder, in order."""
        ends, waiting, found = time.monotonic() + CALL + PATIENCE, [folder], []
        while waiting:
            for entry in files.list_directory_contents(waiting.pop()):
                if time.monotonic() > ends:
                    raise Transient(f"Listing the holdout {uri} takes too long: keep it in fewer files, or as Delta.")
                if entry.is_directory:
                    waiting.append(str(entry.path))
                else:
                    found.append([entry.path, entry.file_size, entry.last_modified])
                if len(found) > MOST_FILES:
                    raise Terminal(f"The holdout {uri} has more than {MOST_FILES:,} files: keep it in fewer.")
        return sorted(found)

    def _client(self, rules: Evaluate) -> Any:
        return self._workspaces.of(rules.job)

    def _files(self, rules: Evaluate) -> FilesAPI:
        """The Files API itself: the SDK's own way around it, by signed addresses, is for large files."""
        from databricks.sdk.service.files import FilesAPI

        untyped: Any = FilesAPI
        found: FilesAPI = untyped(self._client(rules).api_client)
        return found


def _path(rules: Evaluate, name: str) -> str:
    return posixpath.join(rules.home, name)


def _job(rules: Evaluate) -> int:
    settings: Mapping[str, Any] = rules.job
    return int(settings["job_id"])
