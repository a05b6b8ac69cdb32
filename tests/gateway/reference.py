"""The server that `mlflow models serve` runs, to compare answers with."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mlflow.pyfunc import scoring_server

from tests.gateway import world


@contextlib.contextmanager
def serving(model: Path) -> Iterator[int]:
    """Its port."""
    port = world.free_port()
    command, env = scoring_server.get_cmd(str(model), port=port, host="127.0.0.1")  # type: ignore[arg-type]
    env = {**env, "PATH": os.pathsep.join((str(Path(sys.executable).parent), env.get("PATH", "")))}
    with subprocess.Popen(
        command.split(), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            world.wait_until(lambda: _answers(port))
            yield port
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        return world.send(connection, b"", "GET", "/ping", {}).status == 200
    except OSError:
        return False
    finally:
        connection.close()
