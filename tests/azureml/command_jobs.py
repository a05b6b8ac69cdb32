"""Command jobs of the local Azure, which really run, and data assets that they read.

A job's code is what was uploaded, in a process of its own; its output is a folder that holds what the workspace's store
holds below that path, and what it changes is in the store when it ends.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.azureml.cloud import CONTAINER, WORKSPACE_ID, Answer, Asked, Cloud, Json, refused

_JOB = re.compile(re.escape(WORKSPACE_ID) + r"/jobs/(?P<name>evaluation-[^/]+)")
_DATA = re.compile(re.escape(WORKSPACE_ID) + r"/data/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?")
_COMMAND = re.compile(
    r"python -m evaluation\.shared \$\{\{outputs\.home\}\} (?P<key>[0-9a-f]{32})(?P<data> \$\{\{inputs\.data\}\})?"
)


@dataclass
class _Started:
    body: Json
    thread: threading.Thread
    failed: bool = False
    queued: bool = False


class CommandJobs:
    """All of them, by name."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self._folder = cloud, folder
        self.started: dict[str, _Started] = {}
        self.data: dict[tuple[str, str], tuple[str, Path]] = {}
        """Name and version -> type and where it lies on this machine."""
        self.work: Callable[[str, Path, Path | None], None] = self._evaluates
        """What a job does with its key, its home and its holdout."""
        self._last: dict[str, str] = {}
        cloud.commands = self.answer

    def register(self, name: str, version: str, path: Path) -> None:
        self.data[name, version] = ("uri_file", path)
        self._last[name] = version

    def home(self, name: str = "evaluations") -> dict[str, bytes]:
        """Files of the store below a path."""
        start = f"{CONTAINER}/{name}/"
        return {
            path.removeprefix(start): content
            for path, (content, _) in self.cloud.blobs.items()
            if path.startswith(start)
        }

    def answer(self, asked: Asked) -> Answer | None:
        """None where this is about something else. Who asks without a token is told so by the cloud."""
        if asked.headers.get("authorization") != f"Bearer token-for-{self.cloud.base}":
            return None
        if (found := _JOB.fullmatch(asked.path)) is not None:
            return self._put(asked, found["name"]) if asked.method == "PUT" else self._get(found["name"])
        found = _DATA.fullmatch(asked.path)
        if found is None or asked.method != "GET":
            return None
        return self._version(found["name"], found["version"]) if found["version"] else self._asset(found["name"])

    def _put(self, asked: Asked, name: str) -> Answer:
        if name in self.started:
            return refused(409, "UserError", f"There is a job {name} already.")
        properties = asked.json["properties"]
        code = properties["codeId"].removeprefix(f"{WORKSPACE_ID}/codes/")
        if ("codes", *code.split("/versions/")) not in self.cloud.assets:
            return refused(400, "UserError", f"There is no code {code}.")
        thread = threading.Thread(target=self._run, args=(name, properties), daemon=True)
        self.started[name] = _Started(properties, thread)
        thread.start()
        return Answer.of(self._json(name), 201)

    def _get(self, name: str) -> Answer:
        if name not in self.started:
            return refused(404, "UserError", f"There is no job {name}.")
        return Answer.of(self._json(name))

    def _json(self, name: str) -> Json:
        job = self.started[name]
        status = "Running" if job.thread.is_alive() else "Failed" if job.failed else "Completed"
        services = {"Studio": {"endpoint": f"https://ml.example.com/runs/{name}", "jobServiceType": "Studio"}}
        return {
            "id": f"{WORKSPACE_ID}/jobs/{name}",
            "name": name,
            "properties": {**job.body, "status": "Queued" if job.queued else status, "services": services},
        }

    def _version(self, name: str, version: str) -> Answer:
        if (name, version) not in self.data:
            return refused(404, "UserError", f"There is no data {name}:{version}.")
        kind = self.data[name, version][0]
        properties = {"dataType": kind, "dataUri": self._uri(name, version)}
        return Answer.of(
            {"id": f"{WORKSPACE_ID}/data/{name}/versions/{version}", "name": version, "properties": properties}
        )

    def _asset(self, name: str) -> Answer:
        if name not in self._last:
            return refused(404, "UserError", f"There is no data {name}.")
        properties = {"dataType": "uri_file", "latestVersion": self._last[name]}
        return Answer.of({"id": f"{WORKSPACE_ID}/data/{name}", "name": name, "properties": properties})

    @staticmethod
    def _uri(name: str, version: str) -> str:
        return f"azureml://datastores/workspaceblobstore/paths/{name}/{version}"

    def _run(self, name: str, properties: Json) -> None:
        try:
            found = _COMMAND.fullmatch(properties["command"])
            assert found is not None, properties["command"]
            data = None
            if found["data"]:
                uri = properties["inputs"]["data"]["uri"]
                data = next(path for key, (_, path) in self.data.items() if self._uri(*key) == uri)
            below = f"{CONTAINER}/{properties['outputs']['home']['uri'].partition('/paths/')[2]}/"
            home = self._folder / "homes" / name
            with self.cloud.lock:
                self._laid(below, home)
                before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
                code = properties["codeId"].removeprefix(f"{WORKSPACE_ID}/codes/").replace("/versions/", "-")
                self._laid(f"blob/codes-{code}/", self._folder / "code" / name)
            try:
                self.work(found["key"], home, data)
            finally:
                with self.cloud.lock:
                    for path in home.rglob("*"):
                        if path.is_file() and before.get(path) != path.read_bytes():
                            self.cloud.blobs[below + path.relative_to(home).as_posix()] = (path.read_bytes(), {})
        except Exception:  # noqa: BLE001 - whatever it is, the job has failed
            self.started[name].failed = True

    def _laid(self, start: str, folder: Path) -> None:
        """What the store holds below a path, as files."""
        folder.mkdir(parents=True, exist_ok=True)
        for path, (content, _) in self.cloud.blobs.items():
            if path.startswith(start):
                file = folder / path.removeprefix(start)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)

    def _evaluates(self, key: str, home: Path, data: Path | None) -> None:
        environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        code = self._folder / "code" / home.name
        command = [sys.executable, "-m", "evaluation.shared", str(home), key, *([str(data)] if data else [])]
        subprocess.run(command, cwd=code, env=environ, check=True, stdin=subprocess.DEVNULL)
