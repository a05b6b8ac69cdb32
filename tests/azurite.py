"""Azurite, the emulator of Azure Storage: installed below the checkout, started on free ports, ended afterwards."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

VERSION = "3.35.0"
"""The last one that runs on Node.js 18 and 20."""
FOLDER = Path(__file__).parents[1] / ".azurite"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own well-known key, no secret."""
SERVICES = ("Blob", "Queue", "Table")
_LISTENS = re.compile(r"(\w+) service is successfully listening at http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Azurite:
    """A running emulator."""

    blob: int
    queue: int
    table: int
    """Ports on 127.0.0.1."""
    pid: int

    @property
    def connection(self) -> str:
        """The connection string of its one account."""
        return connection(self.blob, self.queue, self.table)


def connection(blob: int, queue: int, table: int) -> str:
    ports = zip(SERVICES, (blob, queue, table), strict=True)
    endpoints = ";".join(f"{name}Endpoint=http://127.0.0.1:{port}/{ACCOUNT}" for name, port in ports)
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};{endpoints};"


def installed() -> Path:
    """Azurite's entry point, installed first where it is missing. Raises AssertionError where it cannot be."""
    place = FOLDER / VERSION
    start = place / "node_modules/azurite/dist/src/azurite.js"
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        # One process installs, the others wait for it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not start.exists():
            _install(place)
    return start


def _install(place: Path) -> None:
    if shutil.which("npm") is None:
        raise AssertionError("npm is missing, and with it Azurite: install Debian's packages nodejs and npm")
    with tempfile.TemporaryDirectory(dir=FOLDER) as made:
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
        command = ["npm", "install", "--prefix", made, *options, f"azurite@{VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise AssertionError(f"azurite@{VERSION} could not be installed with npm: {done.stderr[-2000:]}")
        (Path(made) / "node_modules").rename(_empty(place) / "node_modules")


def _empty(place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


@contextlib.contextmanager
def running(location: Path | None = None, ports: Sequence[int] = (0, 0, 0)) -> Iterator[Azurite]:
    """An emulator for the length of the block; in memory, or kept at `location`. Port 0 is a free one."""
    kept = ["--inMemoryPersistence"] if location is None else ["--location", str(location)]
    for name, port in zip(SERVICES, ports, strict=True):
        kept += [f"--{name.lower()}Port", str(port)]
    # The SDKs ask for versions of the service that are younger than any emulator.
    command = ["node", str(installed()), "--skipApiVersionCheck", "--disableTelemetry", "--silent", *kept]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=location or FOLDER)
        try:
            found = _listening(process, log.fileno())
            yield Azurite(found["Blob"], found["Queue"], found["Table"], process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listening(process: subprocess.Popen[bytes], log: int) -> dict[str, int]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        text = os.pread(log, 100_000, 0).decode("utf-8", "replace")
        found = {name: int(port) for name, port in _LISTENS.findall(text)}
        if found.keys() == set(SERVICES):
            return found
        if process.poll() is not None:
            raise AssertionError(f"Azurite ended with {process.returncode}: {text[-2000:]}")
        time.sleep(0.05)
    raise AssertionError(f"Azurite did not start within a minute: {text[-2000:]}")


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One emulator for the whole run; each test makes its own tables, queues and containers in it."""
    with running() as emulator:
        yield emulator
