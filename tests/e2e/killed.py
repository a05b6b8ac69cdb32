"""`python -m watcher run` as a process of its own, killed at any moment and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.world import World

ROOT = Path(__file__).parents[2]


HASTY = """
import sys
from deployers.local_endpoint import LocalEndpoint
from watcher.cli.main import main
LocalEndpoint.lease = 1.0
sys.exit(main())
"""
"""No verb takes longer than that here, and nobody waits 20 seconds for the lease of a watcher that died in one."""


@contextlib.contextmanager
def running(world: World, *, hasty: bool, err: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A watcher process; killed where the block ends.

    `hasty`: with a short lease, else as the product has it; `err`: a file descriptor in place of the log.
    """
    program = ["-c", HASTY] if hasty else ["-m", "watcher"]
    command = [sys.executable, *program, "run", "--config", str(world.file)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (world.folder / "watcher.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log if err is None else err, env=environment, cwd=world.folder
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
