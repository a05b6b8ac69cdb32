"""Start, stop and ask a gateway; used by the command line and by whoever deploys to it."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import gateway
from gateway import processes
from gateway.errors import GatewayError
from gateway.files import last_line
from gateway.paths import Home, home, short

START = 30.0
"""Seconds until a started gateway must answer."""
STOP = 60.0
"""Seconds until a stopped gateway must be gone."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with short(self._path) as address:
            self.sock.connect(address)


def ask(
    path: str | os.PathLike[str], method: str, target: str, body: Any = None, timeout: float = 10.0
) -> tuple[int, Any]:
    """One admin request to the gateway at `path`: status and JSON answer. Raises OSError where none answers."""
    connection = UnixConnection(home(path).admin, timeout)
    try:
        connection.request(
            method, target, None if body is None else json.dumps(body), {"content-type": "application/json"}
        )
        answer = connection.getresponse()
        text = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"The gateway gave no answer: {type(error).__name__}") from error
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text) if text else None
    except ValueError as error:
        raise ConnectionError("The gateway's answer is not JSON.") from error


def status(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The gateway's state, None where none runs. Raises GatewayError where one runs and does not answer."""
    place = home(path)
    if _pid(place) is None:
        return None
    try:
        code, told = ask(path, "GET", "/state")
    except OSError as error:
        raise GatewayError(f"The gateway in {place.path} runs but does not answer: {error}.") from error
    if code != HTTPStatus.OK or not isinstance(told, dict):
        raise GatewayError(f"The gateway in {place.path} answered {code}.")
    return told


def start(path: str | os.PathLike[str], host: str = "127.0.0.1") -> None:
    """See to it that a gateway runs in the background and answers. Raises GatewayError with what went wrong.

    It outlives this process.
    """
    place = home(path)
    try:
        place.make()
    except OSError as error:
        raise GatewayError(f"{place.path} cannot be used as a gateway's home: {error}.") from error
    process = None
    if _pid(place) is None:
        env = dict(os.environ)
        above = str(Path(gateway.__file__).parent.parent.resolve())
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (env.get("PYTHONPATH"), above)))
        with place.log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "--home", str(place.path), "--host", host],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=env,
                cwd=place.path,
                start_new_session=True,
            )
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        # The server of a gateway that was killed may answer for an instant yet: only the lock's holder counts.
        if _answering(place) == (_pid(place) or -1):
            return
        if process is not None and process.poll() is not None and _pid(place) is None:
            raise GatewayError(f"The gateway in {place.path} does not start: {last_line(place.log)}")
        time.sleep(0.02)
    if process is not None:
        process.terminate()
        process.wait()
    raise GatewayError(f"The gateway in {place.path} did not answer within {START:g} seconds; see {place.log}.")


def stop(path: str | os.PathLike[str]) -> bool:
    """End the gateway and every process of it; False where none ran. Raises GatewayError where it does not end."""
    place = home(path)
    pid = _pid(place)
    if pid is None:
        if place.run.exists():
            processes.end_all(place.run, 3.0)
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP
    while _pid(place) == pid:
        if time.monotonic() > deadline:
            raise GatewayError(f"The gateway in {place.path} (process {pid}) did not end within {STOP:g} seconds.")
        time.sleep(0.02)
    return True


def _answering(place: Home) -> int | None:
    """Pid of the supervisor whose server answers, None where none does."""
    try:
        code, told = ask(place.path, "GET", "/state")
    except OSError:
        return None
    found = told.get("supervisor") if code == HTTPStatus.OK and isinstance(told, dict) else None
    return found if isinstance(found, int) else None


def _pid(place: Home) -> int | None:
    """The supervisor's pid while it holds the lock, None where nobody does."""
    try:
        with place.lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                text = file.read()
                return int(text) if text.isdigit() else -1
    except FileNotFoundError:
        return None
    return None
