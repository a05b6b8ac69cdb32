"""Evaluations as command jobs of an Azure ML workspace, with requests and results in the workspace's own store.

A job has the name of its evaluation and attempt, and a name is given once, so two that begin it begin one.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deployers.azureml.azure import Azure, Json
from deployers.azureml.endpoints import default_credential
from deployers.azureml.places import Workspace, workspace
from deployers.azureml.trouble import Absent
from watcher.errors import Conflict, Terminal, Transient, UserError
from watcher.evaluations import Evaluate, Run
from watcher.retry import Retry
from watcher.text import plain

HOME = "evaluations"
CODE = "watcher-evaluation"
EXPERIMENT = "watcher-evaluations"
MOST_RESULT = 16 * 2**20
ENDED = frozenset({"Completed", "Failed", "Canceled"})
PACKAGE = Path(__file__).parents[2] / "evaluation"
"""What the jobs run: it stands alone."""
_DATA = re.compile(r"azureml:(?P<name>[^:@/]+)(?::(?P<version>[^:@/]+)|@latest)")
_INPUTS = frozenset({"uri_file", "uri_folder"})
BUDGET = 4.0
"""Seconds in which a call is tried again: what is asked here is asked again by the next wake-up."""


class AzuremlRuns:
    """Command jobs on the `compute` of a `workspace`, in an `environment` of it."""

    lease = 120.0

    def __init__(self, credential: Callable[[], Any] | None = None) -> None:
        self._credential = credential or default_credential
        self._known: dict[Workspace, Azure] = {}

    def token(self, rules: Evaluate) -> str | None:
        """Of a data asset its version and its path: what lies there is taken never to change."""
        if not rules.data.uri.startswith("azureml:"):
            return None
        name, version, found = self._data(rules)
        return f"{name}:{version} {found.get('dataUri')}"

    def read(self, rules: Evaluate, name: str) -> bytes | None:
        # What is longer is cut, is no JSON any more, and counts as no result.
        return self._azure(rules).store.read(f"{_home(rules)}/{name}", MOST_RESULT)

    def write(self, rules: Evaluate, name: str, content: bytes) -> None:
        self._azure(rules).store.write(f"{_home(rules)}/{name}", content)

    def begin(self, rules: Evaluate, below: str, key: str, attempt: int) -> str:
        azure = self._azure(rules)
        name = f"evaluation-{key}-{attempt}" + (f"-{below}" if below else "")
        if azure.job(name) is None:
            body = {"properties": self._properties(azure, rules, below, key)}
            try:
                azure.put_job(name, body)
            except Conflict:
                if azure.job(name) is None:
                    raise
        return name

    def look(self, rules: Evaluate, run: str) -> Run:
        found = self._azure(rules).job(run)
        if found is None:
            return Run(ended=True, why="the workspace knows it no more")
        properties = found.get("properties") or {}
        status = str(properties.get("status") or "")
        studio = ((properties.get("services") or {}).get("Studio") or {}).get("endpoint")
        where = f"; its log: {studio}" if studio else ""
        return Run(ended=status in ENDED, why=plain(f"{status}{where}", 300))

    def check(self, rules: Evaluate) -> Sequence[str]:
        try:
            return [*self._checked(self._azure(rules), rules)]
        except (Transient, Terminal, Conflict) as error:
            return [str(error)]

    def _checked(self, azure: Azure, rules: Evaluate) -> list[str]:
        problems, compute = [], str(rules.job["compute"])
        if azure.workspace() is None:
            return [f"There is no workspace {azure.where.name} in {azure.where.group}, or it may not be seen."]
        try:
            azure.compute(compute)
        except Absent:
            problems.append(f"There is no compute {plain(compute)}: correct evaluate.job.compute.")
        name, version = _environment(rules)
        if azure.asset("environments", name, version) is None:
            problems.append(f"There is no environment {plain(name)}:{plain(version)}: make it, or correct its name.")
        # That the store can be read says that requests and results can lie in it.
        self.read(rules, "jobs/check.json")
        return problems

    def _properties(self, azure: Azure, rules: Evaluate, below: str, key: str) -> Json:
        name, version = _environment(rules)
        home = "/".join(filter(None, (_home(rules), below)))
        command, inputs = f"python -m evaluation.shared ${{{{outputs.home}}}} {key}", {}
        if rules.data.uri.startswith("azureml:"):
            found = self._data(rules)[2]
            kind = str(found.get("dataType"))
            if kind not in _INPUTS:
                raise Terminal(f"The data {rules.data.uri} are no file and no folder: register them as one of the two.")
            command += " ${{inputs.data}}"
            inputs["data"] = {"jobInputType": kind, "mode": "ReadOnlyMount", "uri": str(found.get("dataUri"))}
        mounted = {"jobOutputType": "uri_folder", "mode": "ReadWriteMount", "uri": azure.where.stored(home)}
        return {
            "jobType": "Command",
            "displayName": f"evaluation {key[:8]}",
            "experimentName": EXPERIMENT,
            "command": command,
            "codeId": _code(azure),
            "environmentId": f"{azure.where.arm_id}/environments/{name}/versions/{version}",
            "computeId": azure.where.compute(str(rules.job["compute"])),
            "inputs": inputs,
            "outputs": {"home": mounted},
        }

    def _data(self, rules: Evaluate) -> tuple[str, str, Json]:
        azure, found = self._azure(rules), _DATA.fullmatch(rules.data.uri)
        if found is None:
            raise Terminal(f"{plain(rules.data.uri)} is no data asset: write azureml:NAME:VERSION or NAME@latest.")
        name, version = found["name"], found["version"]
        if version is None:
            asset = azure.data_asset(name) or {}
            version = str((asset.get("properties") or {}).get("latestVersion") or "")
        there = azure.data_version(name, version) if version else None
        if there is None:
            raise Terminal(f"There are no data {plain(name)}:{plain(version) or 'latest'} in the workspace.")
        return name, version, dict(there.get("properties") or {})

    def _azure(self, rules: Evaluate) -> Azure:
        try:
            where = workspace(rules.job)
        except UserError as error:
            raise Terminal(str(error)) from None
        if where not in self._known:
            self._known[where] = Azure(where, Retry(budget=BUDGET), self._credential)
        return self._known[where]


def _home(rules: Evaluate) -> str:
    return rules.home or HOME


def _environment(rules: Evaluate) -> tuple[str, str]:
    name, _, version = str(rules.job["environment"]).removeprefix("azureml:").partition(":")
    return name, version


def _code(azure: Azure) -> str:
    """The package that the jobs run, uploaded once for its contents."""
    files = sorted(file for file in PACKAGE.rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(b"%s\0%d\0" % (file.relative_to(PACKAGE).as_posix().encode(), file.stat().st_size))
        digest.update(file.read_bytes())
    with tempfile.TemporaryDirectory(prefix="evaluation-") as folder:
        shutil.copytree(PACKAGE, Path(folder) / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
        return azure.upload_code(CODE, digest.hexdigest()[:16], Path(folder))
