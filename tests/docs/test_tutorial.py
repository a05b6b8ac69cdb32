"""The tutorial, carried out line by line in a folder of its own, on a real registry and a real gateway."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.texts import ROOT, pages

pytestmark = pytest.mark.long
TUTORIAL = "docs/tutorial/first-rollout.md"
PORT = "5001"
ENDS_BY_ITSELF = 180.0
"""Seconds for one line."""


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


class Reader:
    """Somebody who saves the files and types the lines."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}

    def types(self, line: str) -> str:
        if line.startswith("curl"):
            line = line.replace(PORT, self.port)
        elif line == "python -m watcher run":
            line += " --for 2"
        line = re.sub(r"^python ", f"{sys.executable} ", line)
        done = subprocess.run(
            line.split(),
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            check=False,
            text=True,
            timeout=ENDS_BY_ITSELF,
        )
        assert done.returncode == 0, f"{line}: {done.stderr}{done.stdout}"
        return done.stdout

    def champion(self) -> tuple[int, dict[str, int]]:
        (told,) = json.loads(self.types("python -m watcher status --json"))
        return told["champion"], told["targets"][0]["weights"]


def test_every_line_does_what_the_tutorial_says(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    blocks = pages()[TUTORIAL].blocks
    (train,) = (block.text for block in blocks if block.language == "python")
    (settings,) = (block.text for block in blocks if block.language == "yaml")
    (tmp_path / "train.py").write_text(train)
    (tmp_path / "watch.yaml").write_text(settings.replace(PORT, reader.port))
    lines = [line for block in blocks if block.language == "sh" for line in block.text.splitlines()]
    champions = []
    try:
        for line in lines:
            said = reader.types(line)
            if line.startswith("curl"):
                assert "x-model-version: 1" in said
            elif line.endswith("run --once"):
                champions.append(reader.champion())
    finally:
        reader.types("python -m watcher gateway stop")
    assert champions == [(1, {"1": 100}), (2, {"2": 100}), (2, {"2": 100}), (1, {"1": 100})]
    assert lines[-1] == "python -m watcher gateway stop"
