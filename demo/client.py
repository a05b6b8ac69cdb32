"""`python -m demo.client URL FOLDER COUNTS`: four connections that are always busy, until SIGTERM.

FOLDER holds `requests.json` (bodies) and, for each version, `N.json` (what it answers to each, null where it cannot);
what was counted goes to COUNTS. Nothing is ever sent twice, and every answer but a 200 with the numbers of the version
in its `X-Model-Version` is a failure.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import random
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from demo.counts import Counts
from gateway.files import read_json

CONNECTIONS = 4
PATIENCE = 30.0
"""Seconds until an answer must have come."""
WRITE_EVERY = 0.25
PAUSE = 0.05
"""Seconds after a connection that failed, so that an endpoint that is gone is not asked ten thousand times."""
NEARLY = 1e-9
"""Relative difference of two floats that are the same number computed twice."""
OK = 200
SEED = 7
"""Requests come in no order: weights are dealt out in turn, and one that is in step would always meet the same one."""


class Client:
    """Sends until stopped; `counts` may be read under `lock`."""

    def __init__(self, url: str, folder: Path) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path
        self._folder = folder
        self._bodies: list[str] = json.loads((folder / "requests.json").read_text())
        self._expected: dict[str, list[float | None]] = {}
        self._chance = random.Random(SEED)  # noqa: S311 - requests, not secrets
        self.counts = Counts()
        self.lock = threading.Lock()
        self.stop = threading.Event()

    def run(self, counts: Path) -> None:
        """Until `stop` is set, or until whoever started this process is gone; what is in flight is waited for."""
        parent = os.getppid()
        threads = [threading.Thread(target=self._keep_busy, name=f"connection-{n}") for n in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        while not self.stop.wait(WRITE_EVERY) and os.getppid() == parent:
            self._write(counts)
        self.stop.set()
        for thread in threads:
            thread.join()
        self._write(counts)

    def _write(self, path: Path) -> None:
        with self.lock:
            self.counts.write(path)

    def _keep_busy(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        while not self.stop.is_set():
            number = self._take()
            begun = time.monotonic()
            try:
                connection.request("POST", self._path, self._bodies[number], {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._failed(f"no answer: {type(error).__name__}: {error}")
                self.stop.wait(PAUSE)
                continue
            took = time.monotonic() - begun
            self._came(number, answer.status, answer.headers.get("X-Model-Version", ""), body, took)
        connection.close()

    def _take(self) -> int:
        with self.lock:
            self.counts.sent += 1
            return self._chance.randrange(len(self._bodies))

    def _failed(self, words: str) -> None:
        with self.lock:
            self.counts.wrong(f"{time.time():.3f} {words}")

    def _came(self, number: int, status: int, version: str, body: bytes, seconds: float) -> None:
        expected = self._answers_of(version)
        now = time.time()
        words = f"{now:.3f} version {version[:20] or 'not named'} answered {status}: {body[:200]!r}"
        with self.lock:
            counts = self.counts
            counts.longest_ms = max(counts.longest_ms, round(seconds * 1000, 1))
            if expected is None:
                counts.wrong(words)
                return
            counts.came(version, now)
            wanted = expected[number]
            if status == OK and wanted is not None and same(body, wanted):
                counts.right(version)
            elif status != OK and wanted is None:
                counts.of_its_own(version)
            else:
                counts.wrong(f"{words}, not {wanted}")

    def _answers_of(self, version: str) -> list[float | None] | None:
        """What a version predicts for each request, None for a version that was never trained."""
        if version not in self._expected and version.isdecimal():
            found = read_json(self._folder / f"{version}.json")
            if found is not None:
                self._expected[version] = found
        return self._expected.get(version)


def same(body: bytes, wanted: float) -> bool:
    """Whether the body is MLflow's answer with this one prediction."""
    try:
        found: Any = json.loads(body)["predictions"]
        return len(found) == 1 and math.isclose(found[0], wanted, rel_tol=NEARLY)
    except (ValueError, TypeError, KeyError, LookupError):
        return False


def main() -> None:
    """Run until a signal."""
    parser = argparse.ArgumentParser(prog="demo.client", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("counts", type=Path)
    given = parser.parse_args()
    client = Client(given.url, given.folder)

    def stop(_number: int, _frame: FrameType | None) -> None:
        client.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    client.run(given.counts)


if __name__ == "__main__":
    main()
