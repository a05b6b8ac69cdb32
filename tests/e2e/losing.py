"""Processes of a running product that are killed or stopped at chance moments, and how long until each is made good."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from gateway import control
from gateway.errors import GatewayError
from gateway.paths import home as home_of
from tests.e2e import models
from tests.e2e.caller import NUMBERS
from tests.e2e.killed import running
from tests.e2e.world import World
from tests.gateway import pids
from tests.gateway.world import wait_until
from tests.loop.world import MODEL

PATIENCE = 120.0
"""Seconds until a loss is made good, or a version is live: what a loaded machine may take."""
LOOK = 0.05
STEPS = 5
"""A process is lost at most so many lines of the history after the last event."""
FIRST, GAIN = 0.5, 0.004
"""The first version's metric, and by how much each version is better than the one before."""

SETTINGS = {
    "bake": "0.3s",
    # A worker that is killed fails requests of its release; here that is no fault of the version.
    "analysis": {"min_requests": 3, "max_error_increase": 1.0, "max_p95_ratio": 1000.0},
}


@dataclass(frozen=True)
class Loss:
    """One process that was killed, or stopped for good."""

    kind: str
    at: float
    """Seconds since the epoch."""
    seconds: float
    """Until another one did its work."""
    version: int | None = None
    """Of a worker."""


@dataclass(eq=False)
class Running:
    """A world that a watcher process of its own looks after; only processes that came of it are ever signalled."""

    world: World
    chance: random.Random
    losses: list[Loss] = field(default_factory=list)
    version: int = 0
    err: int | None = None
    """A file descriptor for what the watcher warns of, its log where there is none."""
    watcher: int = 0
    """Pid of the watcher that runs."""
    _watcher: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        self._start_watcher()
        return self

    def __exit__(self, *_: object) -> None:
        self._watcher.close()

    # What happens

    def registers(self) -> None:
        """A version that is better than all before it."""
        self.version += 1
        made = self.world.train(FIRST + GAIN * self.version, models.says(self.version % NUMBERS))
        assert made == self.version

    def settles(self) -> None:
        """The newest version reigns, nothing else is left, and every mark says so."""
        self._until(self._at_rest, f"v{self.version} is not the only one that serves")

    def goes_on(self) -> bool:
        """A chance moment of the rollout; False where it is over already."""
        until = len(self.world.lines()) + self.chance.randint(1, STEPS)
        wait_until(lambda: len(self.world.lines()) >= until or self._crowned(), PATIENCE)
        time.sleep(self.chance.uniform(0.0, 0.15))
        return not self._crowned()

    def loses(self, kinds: Sequence[str], each: int = 3) -> None:
        """Rollouts go on while processes of these kinds are lost, up to `each` of them in one rollout."""
        strikes: Mapping[str, Callable[[], int | None]] = {
            "watcher": self._watcher_killed,
            "worker": self._worker_killed,
            "zygote": self._zygote_killed,
            "server": self._server_killed,
            "supervisor": self._supervisor_killed,
            "hang": self._worker_stopped,
        }
        left = deque(kinds)
        while left:
            self.registers()
            for _ in range(min(len(left), each)):
                if not self.goes_on():
                    break
                kind, at = left.popleft(), time.time()
                version = strikes[kind]()
                self.losses.append(Loss(kind, at, time.time() - at, version))
            self.settles()

    # Processes

    def _start_watcher(self) -> None:
        self.watcher = self._watcher.enter_context(running(self.world, hasty=True, err=self.err)).pid

    def _watcher_killed(self) -> None:
        before = len(self.world.lines())
        self._watcher.close()
        self._start_watcher()
        self._until(lambda: len(self.world.lines()) > before or self._at_rest(), "the watcher does nothing")

    def _worker_killed(self) -> int | None:
        return self._worker_gets(signal.SIGKILL)

    def _worker_stopped(self) -> int | None:
        return self._worker_gets(signal.SIGSTOP)

    def _worker_gets(self, number: signal.Signals) -> int | None:
        """One of the workers that are up, with traffic or without."""
        while True:
            up = {name: told for name, told in self._releases().items() if told["pid"] is not None}
            if up:
                break
            time.sleep(LOOK)
        name = self.chance.choice(sorted(up))
        pid = up[name]["pid"]
        os.kill(pid, number)
        self._until(lambda: self._another(name, pid), f"{name} was not replaced")
        return int(up[name]["version"])

    def _another(self, name: str, pid: int) -> bool:
        """Whether the release is served by another process, or has gone meanwhile."""
        told = self._releases().get(name)
        return told is None or told["pid"] not in (None, pid)

    def _zygote_killed(self) -> None:
        pid = pids.zygote(self.world.bed.home)
        os.kill(pid, signal.SIGKILL)
        self._until(lambda: self._forks(pid), "the zygote was not replaced")

    def _forks(self, before: int) -> bool:
        """Whether another zygote answers."""
        with socket.socket(socket.AF_UNIX) as asked, contextlib.suppress(OSError, ValueError):
            asked.settimeout(1.0)
            asked.connect(str(self._run / "zygote.sock"))
            asked.sendall(json.dumps({"hello": True}).encode() + b"\n")
            return int(json.loads(asked.recv(4096))["pid"]) != before
        return False

    def _serves(self) -> bool:
        """Whether the supervisor has a server; one that succeeded another may still be starting it."""
        with contextlib.suppress(OSError, ValueError):
            return pids.server(self.world.bed.home) > 0
        return False

    def _server_killed(self) -> None:
        self._until(self._serves, "the supervisor has no server")
        os.kill(pids.server(self.world.bed.home), signal.SIGKILL)
        self._until(lambda: self._supervisor() is not None, "the server was not replaced")

    def _supervisor_killed(self) -> None:
        before = pids.supervisor(self.world.bed.home)
        os.kill(before, signal.SIGKILL)
        self._until(lambda: self._supervisor() not in (None, before), "the supervisor was not replaced")

    def _supervisor(self) -> int | None:
        """Whose server answers."""
        with contextlib.suppress(GatewayError):
            told = control.status(self.world.bed.home)
            return told["supervisor"] if told else None
        return None

    # Looking

    @property
    def _run(self) -> Path:
        return home_of(self.world.bed.home).run

    def _releases(self) -> dict[str, dict[str, Any]]:
        """What the gateway says of each release, and nothing while it does not answer."""
        with contextlib.suppress(OSError):
            code, told = control.ask(self.world.bed.home, "GET", "/state")
            if code == 200:
                endpoint = told["endpoints"].get(f"port-{self.world.port}", {"releases": {}})
                found: dict[str, dict[str, Any]] = endpoint["releases"]
                return found
        return {}

    def _crowned(self) -> bool:
        return any(line.version == self.version for line in self.world.lines("crowned"))

    def _at_rest(self) -> bool:
        if not self._crowned():
            return False
        marks = self.world.registry.read(MODEL)
        releases = self._releases().values()
        alone = [told["version"] for told in releases if told["state"] == "ready"] == [self.version]
        return alone and len(releases) == 1 and marks.challenger is None and marks.champion == self.version

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{otherwise}\n{self.world.tail(40)}\n{self._releases()}"
            time.sleep(LOOK)
