"""`python -m tests.e2e.caller PORT RATE CONNECTIONS FILE`: asks at a fixed rate until SIGTERM.

Each answer is a line of FILE, `[sent, ended, version, outcome]`: seconds since the epoch, the version that the answer
names (0 where none does), and `ok`, the status, or the kind of error. Nothing is sent twice. A connection asks again
only once it was answered, so that never more than CONNECTIONS requests are on their way; turns that were missed are not
made up for. A connection that was closed while it was idle is made anew, as every usual client does.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.gateway.world import send

PATIENCE = 30.0
"""Seconds until an answer must have come."""
NUMBERS = 4
"""Version N predicts N modulo this."""
ROOT = Path(__file__).parents[2]
OK = "ok"


@dataclass(frozen=True)
class Asked:
    """One request and what came of it."""

    sent: float
    ended: float
    version: int
    outcome: str

    @property
    def failed(self) -> bool:
        return self.outcome != OK


@dataclass(frozen=True)
class Calls:
    """What one client process writes down."""

    file: Path

    def read(self) -> list[Asked]:
        """Every request that came to an end so far, in the order of the ends."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return sorted((Asked(*json.loads(line)) for line in lines), key=lambda asked: asked.ended)


@contextlib.contextmanager
def calling(port: int, file: Path, *, rate: float, connections: int) -> Iterator[Calls]:
    """A client process that asks until the block ends; what is in flight then is waited for."""
    command = [sys.executable, "-m", "tests.e2e.caller", str(port), str(rate), str(connections), str(file)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield Calls(file)
        process.send_signal(signal.SIGTERM)
        assert process.wait(2 * PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def _keep_asking(port: int, first: float, every: float, stop: threading.Event, out: IO[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    turn = first
    while not stop.wait(max(turn - time.monotonic(), 0.0)):
        if connection.sock is not None and select.select([connection.sock], [], [], 0)[0]:
            connection.close()
        sent, version = time.time(), 0
        try:
            answer = send(connection)
            version = int(answer.headers.get("x-model-version", "0"))
            right = answer.status == 200 and answer.json()["predictions"] == [version % NUMBERS]
            outcome = OK if right else str(answer.status) if answer.status != 200 else "wrong"
        except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
            connection.close()
            outcome = type(error).__name__
        # One write of a whole line: the threads share the file.
        out.write(json.dumps([sent, time.time(), version, outcome]) + "\n")
        turn = max(turn + every, time.monotonic())
    connection.close()


def main() -> None:
    """Run until a signal, or until whoever started this process is gone."""
    port, rate, connections, file = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    parent, begun = os.getppid(), time.monotonic()
    with file.open("a", buffering=1) as out:
        threads = [
            threading.Thread(target=_keep_asking, args=(port, begun + n / rate, connections / rate, stop, out))
            for n in range(connections)
        ]
        for thread in threads:
            thread.start()
        while not stop.wait(0.5) and os.getppid() == parent:
            pass
        stop.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
