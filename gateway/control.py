"""Start, stop and ask a gateway; used by the command line and by whoever deploys to it."""

from __future__ import annotations

import contextlib
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
NAMED = 5.0
"""Seconds in which the lock's holder must have written down who it is."""
REPLACED = 3.0
"""Seconds in which a server that died must have been replaced, or its supervisor be gone too."""
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
    """The gateway's state, None where none runs. Raises GatewayError where one runs and does not answer.

    A server that has just died is waited for: it is being replaced, or its supervisor is about to be gone as well.
    """
    place = home(path)
    deadline = time.monotonic() + REPLACED
    while True:
        if _succeeded(place, START) is None:
            return None
        try:
            code, told = ask(path, "GET", "/state")
            break
        except OSError as error:
            if isinstance(error, TimeoutError) or time.monotonic() > deadline:
                raise GatewayError(f"The gateway in {place.path} runs but does not answer: {error}.") from error
        time.sleep(0.02)
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
    if _succeeded(place, START) is None:
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
        if answering(place) == (_pid(place) or -1):
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
    pid = _succeeded(place, STOP)
    if pid is None:
        if place.run.exists():
            processes.end_all(place.run, 3.0)
        return False
    deadline = time.monotonic() + STOP
    # One that was being killed when it was signalled has a successor, which is to end as well.
    while pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        while _pid(place) == pid:
            if time.monotonic() > deadline:
                raise GatewayError(f"The gateway in {place.path} (process {pid}) did not end within {STOP:g} seconds.")
            time.sleep(0.02)
        pid = _succeeded(place, STOP)
    return True


def _succeeded(place: Home, patience: float) -> int | None:
    """As `_pid`; where a server waits for the successor of its supervisor, once that one holds the lock."""
    deadline = time.monotonic() + patience
    while (pid := _pid(place)) is None and time.monotonic() < deadline:
        try:
            connection = UnixConnection(place.admin, patience)
            connection.connect()
            connection.close()
        except OSError:
            return _pid(place)
        time.sleep(0.02)
    return pid


def answering(place: Home, timeout: float = 10.0) -> int | None:
    """Pid of the supervisor whose server answers, None where none does in time."""
    try:
        code, told = ask(place.path, "GET", "/state", timeout=timeout)
    except OSError:
        return None
    found = told.get("supervisor") if code == HTTPStatus.OK and isinstance(told, dict) else None
    return found if isinstance(found, int) else None


def _pid(place: Home) -> int | None:
    """The supervisor's pid while it holds the lock, None where nobody does.

    Whoever has just taken the lock has not written down who it is: that is waited for, since what is there may be of a
    process that is gone, and its pid of another one by now. Raises GatewayError where it never comes.
    """
    deadline = time.monotonic() + NAMED
    while True:
        try:
            with place.lock.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    pid = _running(file.read())
                else:
                    return None
        except FileNotFoundError:
            return None
        if pid is not None:
            return pid
        if time.monotonic() > deadline:
            raise GatewayError(f"{place.lock} is held, and does not say by which process; end it, and start again.")
        time.sleep(0.005)


def _running(text: str) -> int | None:
    """The pid in a lock file, None where that process does not run any more."""
    pid, _, started = text.partition(" ")
    if not pid.isdigit() or not started or processes.started(int(pid)) != started:
        return None
    return int(pid)
