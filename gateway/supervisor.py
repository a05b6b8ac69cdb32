"""The process that stays: keeps the lock and the listening sockets, starts the server, and starts it again."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gateway
from gateway import processes
from gateway.errors import GatewayError
from gateway.limits import Limits, load
from gateway.paths import Home, short
from gateway.sockets import place

BACKLOG = 1024
PATIENCE = 1.0
"""Seconds in which the lock may be busy: workers look at it now and then, each for an instant."""
HASTE = 2.0
"""A server that lived shorter than this is started again only after a pause."""
PR_SET_CHILD_SUBREAPER = 36
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Each ends the gateway."""


@dataclass(frozen=True)
class Estate:
    """What a supervisor that was killed leaves to its successor; travels as JSON."""

    server: int
    """Pid of its server, which serves on until the successor's does."""
    sockets: Mapping[str, int]
    """Its listening sockets, as file descriptors by what they are called."""


class Supervisor:
    """One gateway's supervisor. Raises GatewayError where another one has this home."""

    def __init__(self, home: Home, host: str, estate: Estate | None = None) -> None:
        # A signal that comes before there is anybody to hear it must not leave workers that nobody knows.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.home = home
        self.host = host
        home.make()
        self.limits: Limits = load(home.limits)
        self._lock = take_lock(home)
        self.estate = estate or Estate(server=0, sockets={})
        self.listeners = {key: socket.socket(fileno=handle) for key, handle in self.estate.sockets.items()}
        self.server: subprocess.Popen[bytes] | None = None
        self.line: socket.socket | None = None
        self.stopping = False

    def run(self) -> None:
        """Until a signal. Leaves no process behind."""
        _adopt_orphans()
        _link_code(self.home)
        wake, waker = socket.socketpair()
        wake.setblocking(False)
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        started = 0.0
        pause = 0.0
        try:
            while not self.stopping:
                if self.server is None:
                    if time.monotonic() - started < HASTE:
                        pause = min(max(pause * 2, 0.05), 5.0)
                        select.select([wake], [], [], pause)
                    else:
                        pause = 0.0
                    started = time.monotonic()
                    if not self.stopping:
                        self._start()
                self._turn(wake)
        finally:
            self._end()

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _start(self) -> None:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        env = dict(os.environ)
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(self.home.code), env.get("PYTHONPATH"))))
        env.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        with self.home.log.open("ab") as out:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "gateway.server", str(self.home.path), self.host, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=env,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        theirs.close()
        self.line = mine

    def _turn(self, wake: socket.socket) -> None:
        line = self.line
        readable, _, _ = select.select([wake, line] if line is not None else [wake], [], [], 5.0)
        if wake in readable:
            with contextlib.suppress(BlockingIOError):
                wake.recv(4096)
        if line is not None and line in readable:
            self._answer(line)
        if self.server is not None and self.server.poll() is not None:
            if self.line is not None:
                self.line.close()
            self.server = self.line = None
        _reap(self.server)

    def _answer(self, line: socket.socket) -> None:
        try:
            asked = line.recv(65536)
        except OSError:
            asked = b""
        if not asked:
            line.close()
            self.line = None
            return
        told: dict[str, Any] = {}
        handles: list[int] = []
        what = json.loads(asked)
        try:
            if what.get("close"):
                self._close(place(what["host"], what["port"]))
            else:
                handles = [self._listener(what).fileno()]
        except OSError as error:
            told["error"] = f"{what.get('host')}:{what.get('port')} cannot be listened on: {error.strerror}."
        with contextlib.suppress(OSError):
            socket.send_fds(line, [json.dumps(told).encode()], handles)

    def _listener(self, what: dict[str, Any]) -> socket.socket:
        key = what.get("path") or place(what["host"], what["port"])
        found = self.listeners.get(key)
        if found is None:
            found = _listen_unix(what["path"]) if "path" in what else _listen(what["host"], what["port"])
            self.listeners[key] = found
        return found

    def _close(self, key: str) -> None:
        found = self.listeners.pop(key, None)
        if found is not None:
            found.close()

    def _end(self) -> None:
        for key in list(self.listeners):
            self._close(key)
        patience = self.limits.drain + 2 * self.limits.stop + 5
        self._end_predecessors_server(patience)
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            try:
                self.server.wait(patience)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        processes.end_all(self.home.run, self.limits.stop)
        _reap(None)
        with contextlib.suppress(OSError):
            self.home.admin.unlink()
        self._lock.close()

    def _end_predecessors_server(self, patience: float) -> None:
        """It started this process, so it is gone where it is not our parent any more."""
        number, deadline = signal.SIGTERM, time.monotonic() + patience
        while os.getppid() == self.estate.server:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.estate.server, number)
            time.sleep(0.05)
            if time.monotonic() > deadline:
                number = signal.SIGKILL


def start_successor(home: Home, host: str, sockets: Mapping[str, socket.socket]) -> subprocess.Popen[bytes]:
    """Another supervisor, for the server of one that was killed; it starts a server of its own. Raises OSError."""
    estate = Estate(os.getpid(), {key: held.fileno() for key, held in sockets.items()})
    command = [sys.executable, "-m", "gateway", "--home", str(home.path), "--host", host]
    with home.log.open("ab") as out:
        return subprocess.Popen(
            [*command, "--estate", json.dumps(asdict(estate))],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=list(estate.sockets.values()),
            start_new_session=True,
        )


def take_lock(home: Home) -> Any:
    """The open lock file, with our pid and start in it. Raises GatewayError where another gateway holds it."""
    file = os.fdopen(os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if time.monotonic() > deadline:
                file.close()
                raise GatewayError(f"A gateway already runs in {home.path}.") from None
            time.sleep(0.02)
    file.truncate(0)
    file.write(f"{os.getpid()} {processes.started(os.getpid())}")
    file.flush()
    return file


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise OSError(error.errno, f"{host} is no address of this machine") from error
    listener = socket.socket(family, kind, number)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _listen_unix(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with short(Path(path)) as address:
            listener.bind(address)
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


def _adopt_orphans() -> None:
    """Processes whose parent ended become ours, so that they are reaped here, where the system offers that."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap(apart: subprocess.Popen[bytes] | None) -> None:
    """Bury what ended, the server apart: its exit is asked for elsewhere."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or (apart is not None and found.si_pid == apart.pid):
            return
        with contextlib.suppress(ChildProcessError):
            os.waitpid(found.si_pid, os.WNOHANG)


def _link_code(home: Home) -> None:
    """A folder with this package and nothing beside it: what workers in other environments may import of ours."""
    package = Path(gateway.__file__).parent.resolve()
    spare = home.code / f".gateway.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        spare.unlink()
    spare.symlink_to(package)
    spare.replace(home.code / "gateway")
