"""What a command says may go nowhere: a disk that is full, a reader that has gone. Its work does not depend on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.cli.test_process import ROOT, SETTINGS
from tests.registry.mlflow_world import MlflowWorld, sqlite_registry
from watcher.ledger import open_ledger

pytestmark = pytest.mark.slow
PATIENCE = 60.0


@pytest.fixture
def churn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of one model, and settings that watch it."""
    uri = sqlite_registry(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (tmp_path / "watch.yaml").write_text(SETTINGS)
    MlflowWorld(uri, tmp_path).create_version("churn", {"auc": 0.9})


@pytest.fixture
def full() -> Iterator[IO[bytes]]:
    with Path("/dev/full").open("wb", buffering=0) as device:
        yield device


def started(folder: Path, *arguments: str, out: int | IO[bytes], err: int | IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "watcher", *arguments]
    return subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=out, stderr=err)


@pytest.mark.usefixtures("churn")
def test_a_watcher_whose_log_takes_no_more_goes_on_with_its_work(tmp_path: Path, full: IO[bytes]) -> None:
    with started(tmp_path, "run", out=full, err=full) as process:
        try:
            ledger = open_ledger("sqlite:///state/ledger.db", tmp_path)
            deadline = time.monotonic() + PATIENCE
            while not ledger.history("churn", event="done"):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    lines = ledger.history("churn", newest_first=False)
    begun, ended = ([x.data["slot"] for x in lines if x.data and x.event == event] for event in ("intent", "done"))
    assert begun == ended


@pytest.mark.usefixtures("churn")
def test_a_watcher_that_nobody_reads_any_more_ends_after_the_steps_under_way(
    tmp_path: Path,
) -> None:
    with started(tmp_path, "run", out=subprocess.PIPE, err=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.close()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    lines = open_ledger("sqlite:///state/ledger.db", tmp_path).history("churn", newest_first=False)
    begun, ended = ([x.data["slot"] for x in lines if x.data and x.event == event] for event in ("intent", "done"))
    assert begun == ended != []


def test_an_answer_that_cannot_be_written_is_one_sentence(tmp_path: Path, full: IO[bytes]) -> None:
    with started(tmp_path, "schema", out=full, err=subprocess.PIPE) as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (3, b"The answer cannot be written: No space left on device.\n")
