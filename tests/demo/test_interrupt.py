"""Whenever the demo is stopped, no process of it is left, and it can be run again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.demo.processes import CHECKOUT, command, left_over, of_folder, read_until, running

MOMENTS = {
    "while MLflow is imported": ("MLflow makes its tables", signal.SIGINT),
    "while the watcher starts": ("version 1 is registered", signal.SIGTERM),
    "while the watcher starts its gateway": ("rollout of version 1", signal.SIGINT),
    "while the gateway forks its first release": ("asked api to start version 1", signal.SIGTERM),
    "when the client has just started": ("One client sends", signal.SIGINT),
    "in a canary": ("version 1 at 90 %", signal.SIGHUP),
}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(moment, marks=pytest.mark.slow if number == 0 else pytest.mark.long)
        for number, moment in enumerate(MOMENTS)
    ],
)
def test_a_signal_ends_everything(moment: str, tmp_path: Path) -> None:
    words, number = MOMENTS[moment]
    with running(tmp_path / "demo", "--acts", "2") as demo:
        read_until(demo, words)
        os.killpg(demo.pid, number)
        rest, _ = demo.communicate(timeout=60)
        assert "Traceback" not in rest
        assert demo.returncode == 130
        assert left_over(tmp_path / "demo") == []


@pytest.mark.long
def test_impatience_changes_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "demo", "--acts", "2") as demo:
        read_until(demo, "One client sends")
        while demo.poll() is None:
            os.killpg(demo.pid, signal.SIGINT)
            wait_a_little(demo)
        assert demo.returncode == 130
        assert left_over(tmp_path / "demo") == []


def wait_a_little(demo: subprocess.Popen[str]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        demo.wait(0.05)


@pytest.mark.long
def test_what_a_killed_demo_left_is_ended_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with running(folder, "--acts", "2") as demo:
        read_until(demo, "version 1 at 90 %")
        demo.kill()
        demo.wait()
        assert len(of_folder(folder)) > 3
        subprocess.run(command(folder, "--stop"), cwd=CHECKOUT, check=True, timeout=60)
        assert left_over(folder) == []
