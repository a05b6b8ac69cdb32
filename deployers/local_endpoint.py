"""Endpoints on the own machine, behind a gateway that is asked over its admin socket."""

from __future__ import annotations

import fcntl
import functools
import http.client
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deployers.holder import remedy
from watcher.errors import Conflict, Terminal, Transient, UserError
from watcher.naming import slug
from watcher.ports import Deployer
from watcher.retry import Retry
from watcher.text import plain, secret_values, without_secrets
from watcher.values import (
    Example,
    Kind,
    Mirrored,
    Observed,
    Probe,
    Release,
    SeenRelease,
    State,
    Target,
    Traffic,
    Version,
)

SHAPE = Kind.ENDPOINT
HOST = "127.0.0.1"
LOCK = "lock"
"""In the gateway's home: held while a gateway owns it."""
ABSENT = "absent"
"""Token of an endpoint that was never launched to."""
NEEDED = ("httptools", "uvloop", "sklearn", "mlflow.sklearn")
"""What the gateway's own environment must hold."""
CALL = 4.0
"""Seconds for one admin request."""
SLOW = 8.0
"""Seconds for a probe, and for a gateway to start."""
LONGEST_SOCKET = 100
HIGHEST_PORT = 65_535
MOST = 16 * 1024 * 1024
"""Bytes of an answer that are read."""
MOST_TRACE = 20_000
"""Characters of a traceback that are looked at, from its end."""
MOST_CAUSE = 120
_RAISED = re.compile(r"[A-Za-z_][\w.]{0,100}(: |$)")
PORT_TAKEN = "PORT_TAKEN"
FINAL = frozenset({"OTHER_OWNER"})
"""Refusals that repeating does not change."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> dict[str, Any]:
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {}

    @property
    def message(self) -> str:
        return plain(self.json().get("message") or f"The gateway answered {self.status}.", 500)

    @property
    def raised(self) -> str | None:
        """`KeyError: 'bmi'`: the last line of the traceback that MLflow sends along, None without one.

        Its own message says only that something went wrong. The model's code wrote it, so nothing in it is trusted.
        """
        trace = self.json().get("stack_trace")
        lines = trace[-MOST_TRACE:].splitlines() if isinstance(trace, str) else []
        named = [line for line in lines if _RAISED.match(line)]
        return plain(without_secrets(named[-1], secret_values(os.environ)), MOST_CAUSE) if named else None


class _NotRunning(Exception):
    """Nobody answers on the admin socket."""


class LocalEndpoint:
    """Moves endpoints of gateways on this machine; `target.settings` name the gateway's home and the port."""

    atomic = True
    lease = 10.0

    def __init__(self, tracking_uri: str | None) -> None:
        self._tracking_uri = tracking_uri
        self._retry = Retry(attempts=2, budget=CALL)

    def observe(self, target: Target) -> Observed:
        """What the gateway says; where none runs and `launch` may start one, nothing serves.

        Looking never starts a gateway: `plan` and `status` look too.
        """
        try:
            answer = self._retry(lambda: _request(_home(target), "GET", "/state", None, None, CALL))
        except _NotRunning as error:
            if _autostart(target.settings) and not _held(_home(target)):
                return Observed(token=ABSENT)
            raise Transient(str(error)) from error
        told = _endpoints(_expect(answer, 200)).get(_name(target))
        if told is None:
            return Observed(token=ABSENT)
        ours = (told["owner"], told["model"]) == (target.owner, target.model)
        return Observed(
            releases=tuple(_seen(release, ours=ours) for release in told["releases"].values()),
            weights=dict(told["weights"]),
            token=told["token"],
            problem=told.get("problem") if ours else _foreign(told),
            mirrored=_mirrored(told),
        )

    def launch(self, release: Release) -> None:
        target, version = release.target, release.version
        name = _name(target)
        place = {"host": _host(target.settings), "port": _port(target.settings)}
        mine = {"owner": target.owner, "model": target.model}
        answer = self._started(target, "PUT", f"/endpoints/{name}", {**place, **mine})
        if answer.json().get("error_code") == PORT_TAKEN:
            raise Transient(f"{answer.message.rstrip('.')}; {remedy(_port(target.settings))}.")
        _expect(answer, 200)
        asked = {
            **mine,
            "version": version.number,
            "key": version.identity.key,
            "artifact_uri": version.artifact_uri,
            "tracking_uri": self._tracking_uri,
            "memory": target.settings.get("memory"),
            "env": target.settings.get("env") or "auto",
        }
        _expect(self._call(target, "PUT", f"/endpoints/{name}/releases/{release.name}", asked), 202)

    def probe(self, release: Release, example: Example) -> Probe:
        path = f"/endpoints/{_name(release.target)}/releases/{release.name}/invocations"
        begun = time.monotonic()
        try:
            answer = _request(_home(release.target), "POST", path, example.body, example.content_type, SLOW)
        except _NotRunning as error:
            raise Transient(str(error)) from error
        ms = (time.monotonic() - begun) * 1000
        answered = answer.headers.get("x-release")
        if answered is None:
            if answer.status == HTTPStatus.NOT_FOUND:
                raise Conflict(answer.message)
            _expect(answer, 200)
        version = answer.headers.get("x-model-version", "")
        ok = answer.status == HTTPStatus.OK and answered == release.name
        detail = (
            f"it answered with {len(answer.body):,} bytes" if ok else f"{answer.status}: {self._cause(release, answer)}"
        )
        return Probe(ok, int(version) if version.isdecimal() else None, detail, ms)

    @staticmethod
    def _cause(release: Release, answer: _Answer) -> str:
        """Why a probe failed: what the model's code raised, else where its log lies; then the answer's own message."""
        raised = answer.raised
        if raised is not None:
            return f"{raised} ({answer.message})"
        log = _home(release.target) / "releases" / _name(release.target) / release.name / "log"
        return f"{answer.message} See {log}." if log.is_file() else answer.message

    def shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        told = self._mine(target)
        if told is None:
            if weights or seen != ABSENT:
                raise Conflict(f"There is no endpoint at {target.place} yet.")
            return
        body = {"weights": dict(weights), "seen": seen}
        _expect(self._call(target, "PUT", f"/endpoints/{_name(target)}/weights", body), 200)

    def mirror(self, target: Target, name: str, percent: int, seen: str) -> None:
        told = self._mine(target)
        if told is None:
            raise Conflict(f"There is no endpoint at {target.place} yet.")
        if "mirror" not in told:
            raise Transient(
                f"The gateway in {_home(target)} was started by an older watcher and cannot mirror; end it with"
                " `watcher gateway stop`, and it is started again."
            )
        body = {"mirror": {name: percent}, "seen": seen}
        _expect(self._call(target, "PUT", f"/endpoints/{_name(target)}/mirror", body), 200)

    def retire(self, target: Target, name: str) -> None:
        told = self._endpoint(target)
        if told is None or name not in told["releases"]:
            return
        if (told["owner"], told["model"]) != (target.owner, target.model):
            raise Conflict(_foreign(told))
        _expect(self._call(target, "DELETE", f"/endpoints/{_name(target)}/releases/{name}"), 204)

    def adopt(self, target: Target, version: Version) -> None:
        raise Terminal("A local endpoint serves only releases of its own: there is nothing to adopt.")

    def check(self, target: Target) -> Sequence[str]:
        missing = [name for name in NEEDED if not _importable(name)]
        if missing:
            return [f"The gateway needs {', '.join(missing)} in {sys.executable}: install the extra `local`."]
        home = _home(target)
        try:
            told = self._state(home)["endpoints"].get(_name(target))
        except _NotRunning as error:
            told = None
            if not _autostart(target.settings):
                return [str(error)]
            existing = next(folder for folder in (home, *home.parents) if folder.exists())
            if not os.access(existing, os.W_OK) or not existing.is_dir():
                return [f"The gateway's home {home} cannot be made: {existing} is not a folder that can be written to."]
        except Transient as error:
            return [str(error)]
        if told is not None:
            if (told["owner"], told["model"]) != (target.owner, target.model):
                return [_foreign(told)]
            return [told["problem"]] if told.get("problem") else []
        return _port_problems(_host(target.settings), _port(target.settings))

    def _endpoint(self, target: Target) -> dict[str, Any] | None:
        answer = _expect(self._call(target, "GET", "/state"), 200)
        return _endpoints(answer).get(_name(target))

    def _mine(self, target: Target) -> dict[str, Any] | None:
        told = self._endpoint(target)
        if told is not None and (told["owner"], told["model"]) != (target.owner, target.model):
            raise Terminal(_foreign(told))
        return told

    def _state(self, home: Path) -> dict[str, Any]:
        answer = self._retry(lambda: _expect(_request(home, "GET", "/state", None, None, CALL), 200))
        return {"endpoints": _endpoints(answer)}

    def _started(self, target: Target, method: str, path: str, body: Any = None) -> _Answer:
        """As `_call`, with the gateway started first where it does not run and may be started."""
        home = _home(target)
        data = None if body is None else json.dumps(body).encode()
        try:
            return self._retry(lambda: _request(home, method, path, data, "application/json", CALL))
        except _NotRunning as error:
            if not _autostart(target.settings):
                raise Transient(str(error)) from error
        _start(home)
        return self._call(target, method, path, body)

    def _call(self, target: Target, method: str, path: str, body: Any = None) -> _Answer:
        home = _home(target)
        data = None if body is None else json.dumps(body).encode()
        try:
            return self._retry(lambda: _request(home, method, path, data, "application/json", CALL))
        except _NotRunning as error:
            raise Transient(str(error)) from error


def build(tracking_uri: str | None) -> Deployer:
    """The deployer of `local-endpoint` targets. Releases fetch their artifacts by way of the tracking URI."""
    return LocalEndpoint(tracking_uri)


def place(kind: str, settings: Mapping[str, Any]) -> str:
    """`local-endpoint:127.0.0.1:5001`: one public port of this machine."""
    return f"{kind}:{_host(settings)}:{_port(settings)}"


def environment(settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The Python and the packages that every release gets, None where each may have an environment of its own."""
    if settings.get("env") != "local" and find_uv() is not None:
        return None
    return _installed()


@functools.cache
def _installed() -> Mapping[str, Any]:
    packages = {found.name: found.version for found in distributions()}
    return {"python": platform.python_version(), "packages": packages}


def find_uv() -> str | None:
    """The `uv` that builds environments: beside this Python, or on the path."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else shutil.which("uv")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        if len(os.fsencode(self._path)) <= LONGEST_SOCKET:
            self.sock.connect(str(self._path))
            return
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


def _request(
    home: Path,
    method: str,
    path: str,
    body: bytes | None,
    content_type: str | None,
    timeout: float,
) -> _Answer:
    connection = _UnixConnection(home / "admin.sock", timeout)
    try:
        connection.connect()
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        connection.close()
        raise _NotRunning(
            f"No gateway runs in {home}; `{Path(sys.executable).name} -m gateway --home {home}` starts one."
        ) from error
    except OSError as error:
        connection.close()
        raise Transient(
            f"The gateway in {home} cannot be reached: {error.strerror or type(error).__name__}."
        ) from error
    try:
        connection.request(method, path, body, {"content-type": content_type} if content_type else {})
        answer = connection.getresponse()
        found = answer.read(MOST)
        return _Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, found)
    except (OSError, http.client.HTTPException) as error:
        raise Transient(f"The gateway in {home} gave no answer: {type(error).__name__}.") from error
    finally:
        connection.close()


def _expect(answer: _Answer, status: int) -> _Answer:
    """The answer, if it is the expected one; else the error that its status and code stand for."""
    if answer.status == status:
        return answer
    if answer.status == HTTPStatus.CONFLICT and answer.json().get("error_code") not in FINAL:
        raise Conflict(answer.message)
    if answer.status == HTTPStatus.NOT_FOUND:
        raise Conflict(answer.message)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Transient(answer.message)
    raise Terminal(answer.message)


def _endpoints(answer: _Answer) -> dict[str, Any]:
    found = answer.json().get("endpoints")
    if not isinstance(found, dict):
        raise Transient("The gateway's answer is not one of a gateway.")
    return found


def _start(home: Path) -> None:
    command = [sys.executable, "-m", "gateway", "--home", str(home), "--background"]
    found = find_spec("gateway")
    above = [str(Path(found.origin).parent.parent)] if found is not None and found.origin else []
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), *above]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = subprocess.run(
            command,
            env=env,
            timeout=SLOW,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise Transient(f"The gateway in {home} does not answer {SLOW:g} seconds after it was started.") from error
    except OSError as error:
        raise Transient(f"The gateway in {home} cannot be started: {error.strerror}.") from error
    if done.returncode:
        raise Transient(plain(done.stderr.strip() or f"The gateway in {home} does not start.", 500))


def _seen(told: Mapping[str, Any], *, ours: bool) -> SeenRelease:
    traffic = told["traffic"]
    return SeenRelease(
        name=told["name"],
        version=told["version"],
        key=told["key"] if ours else "",
        state=State(told["state"]),
        ours=ours,
        detail=plain(told["detail"], 500),
        traffic=Traffic(traffic["requests"], traffic["errors"], traffic["p95_ms"]),
    )


def _mirrored(told: Mapping[str, Any]) -> Mirrored | None:
    mirror = told.get("mirror")
    if mirror is None:
        return None
    counted = mirror["traffic"]
    traffic = Traffic(counted["requests"], counted["errors"], counted["p95_ms"])
    return Mirrored(
        mirror["release"], mirror["percent"], traffic, counted["dropped"], counted["compared"], counted["disagreed"]
    )


def _foreign(told: Mapping[str, Any]) -> str:
    where = f"{told['host']}:{told['port']}"
    return plain(f"The endpoint on {where} serves the model {told['model']} for the owner {told['owner']}.", 500)


def _name(target: Target) -> str:
    """The endpoint's name on its gateway: the place, so that two targets for one place meet there."""
    host = _host(target.settings)
    port = f"port-{_port(target.settings)}"
    return port if host == HOST else f"{port}-{slug(host)}"


def _home(target: Target) -> Path:
    given = target.settings.get("gateway")
    if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
        raise UserError(f"Target {target.key}: `gateway` must name the folder of the gateway that serves it.")
    return Path(given).expanduser()


def _host(settings: Mapping[str, Any]) -> str:
    return str(settings.get("host") or HOST)


def _port(settings: Mapping[str, Any]) -> int:
    port = settings.get("port")
    if type(port) is not int or not 0 < port <= HIGHEST_PORT:
        raise UserError(f"A local endpoint's `port` must be a whole number from 1 to 65535, not {plain(port)}.")
    return port


def _held(home: Path) -> bool:
    """Whether a gateway owns the home: one that is being restarted does not answer for a moment."""
    try:
        with (home / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _autostart(settings: Mapping[str, Any]) -> bool:
    return settings.get("autostart") is not False


def _importable(name: str) -> bool:
    try:
        return find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _port_problems(host: str, port: int) -> list[str]:
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, number) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        return [f"{host}:{port} cannot be listened on: {error.strerror}; {remedy(port)}."]
    return []
