"""`make demo-spark`: the demo's batch job and stream on Spark keep what they keep without one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.demo.processes import CHECKOUT, command


@pytest.mark.long
def test_the_demo_on_spark_keeps_every_promise(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path / "demo", "--engine", "spark"), cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-1_000:]
