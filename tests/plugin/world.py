"""A little plugin that is installed, and operations of it in real processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import deployers
from deployers.mlflow_plugin import PluginDeployer
from watcher.errors import Transient
from watcher.values import Example, Identity, Kind, Probe, Release, Status, Target, Version

LITTLE = Path(__file__).parent / "little"
MODEL = "prod.model"
EXAMPLE = Example(json.dumps({"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}).encode(), rows=1)


class Zygote:
    """Begins operations in processes of their own, for who starts hundreds of them."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[2]
        paths = {"PYTHONPATH": os.pathsep.join([str(root), str(LITTLE)])}
        command = [sys.executable, "-m", "tests.plugin.zygote"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ, **paths}
        )
        self._lock = threading.Lock()

    def __call__(self, folder: Path) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(f"{folder}\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "begun\n"

    def end(self) -> None:
        self._process.communicate(timeout=30)


@contextlib.contextmanager
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    try:
        yield made
    finally:
        made.end()


def installed(patch: pytest.MonkeyPatch) -> None:
    """Let this process, and those that it starts, find the little plugin as an installed package."""
    patch.syspath_prepend(str(LITTLE))
    before = os.environ.get("PYTHONPATH")
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [before, str(LITTLE)])))


def target_at(folder: Path, **more: Any) -> Target:
    there = folder / "elsewhere"
    there.mkdir(exist_ok=True)
    settings = {"plugin": f"little:{there}", "deployment": "churn", "state": str(folder / "state"), **more}
    place = deployers.place("mlflow-plugin", settings)
    return Target("api", "mlflow-plugin", Kind.BATCH, MODEL, "tests", place, settings)


def elsewhere(target: Target) -> Path:
    """Where the plugin keeps its deployments."""
    return Path(str(target.settings["plugin"]).partition(":")[2])


def deployed(target: Target) -> dict[str, str]:
    """Deployment -> what it serves, as the plugin itself keeps them."""
    files = (elsewhere(target) / "deployments").glob("*.json")
    return {file.stem: json.loads(file.read_text())["model_uri"] for file in files}


def calls(target: Target) -> list[str]:
    """What the plugin was asked, in turn."""
    there = elsewhere(target) / "calls"
    return there.read_text().splitlines() if there.exists() else []


def model(folder: Path, number: int) -> Version:
    files = folder / "models" / str(number)
    files.mkdir(parents=True, exist_ok=True)
    (files / "MLmodel").write_text("flavors: {}\n")
    return Version(
        Identity(MODEL, number, 1_700_000_000_000 + number, str(files)), Status.READY, artifact_uri=str(files)
    )


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look again until it holds."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come to be"
        time.sleep(0.02)


class Patient(PluginDeployer):
    """As the loop is with it: what is under way is waited for, and a change that was accepted is through."""

    def observe(self, target: Target) -> Any:
        return self._patiently(lambda: super(Patient, self).observe(target))

    def launch(self, release: Release) -> None:
        self._patiently(lambda: super(Patient, self).launch(release))

    def probe(self, release: Release, example: Example) -> Probe:
        found: Probe = self._patiently(lambda: super(Patient, self).probe(release, example))
        return found

    def shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        self._patiently(lambda: super(Patient, self).shift(target, weights, seen))
        eventually(lambda: not self.observe(target).moving)

    @staticmethod
    def _patiently(verb: Callable[[], Any]) -> Any:
        ends = time.monotonic() + 60.0
        while True:
            try:
                return verb()
            except Transient:
                assert time.monotonic() < ends
                time.sleep(0.02)
