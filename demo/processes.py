"""The demo's processes: started, recorded by pid and start time, and ended to the last one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from demo.errors import DemoError
from gateway import control
from gateway.errors import GatewayError
from gateway.processes import Card, end_all, send, started, write

CHECKOUT = Path(__file__).resolve().parent.parent
PR_SET_CHILD_SUBREAPER = 36
POLITE = 3.0
"""Seconds between the polite signal and the other one."""
LAST = 5.0


class Processes:
    """Starts processes and forgets none, not even those that these start in turn and leave behind."""

    def __init__(self, cards: Path, gateway: Path) -> None:
        self._cards, self._gateway = cards, gateway
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def end_earlier(self) -> None:
        """End what an earlier demo recorded and did not end. Raises DemoError where its gateway does not end."""
        if self._cards.exists():
            end_all(self._cards, POLITE)
        self._stop_gateway()

    def adopt_orphans(self) -> None:
        """From here on, a process whose parent ends becomes a child of this one instead of nobody's."""
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, name: str, module: str, arguments: Sequence[str], log: Path) -> int:
        """`python -m module`, in a session of its own so that a terminal's Ctrl-C reaches only the demo; its pid."""
        self._cards.mkdir(exist_ok=True)
        paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=env,
                start_new_session=True,
            )
        self._started[name] = process
        write(self._cards, Card(process.pid, started(process.pid) or "", name))
        return process.pid

    def finish(self, name: str, patience: float) -> bool:
        """Wait until it has ended by itself; whether it ended well."""
        process = self._started[name]
        try:
            return process.wait(patience) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            self.stop(name, POLITE)

    def ended(self, name: str) -> bool:
        """Whether a process that was started has ended by itself."""
        process = self._started.get(name)
        return process is not None and process.poll() is not None

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is gone."""
        process = self._started.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str, patience: float) -> None:
        """SIGTERM, and SIGKILL after `patience` seconds; not started is fine."""
        process = self._started.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def end_all(self) -> None:
        """End everything that began here: politely what is known, then whatever descends from this process.

        May be interrupted and called again. Raises DemoError where something does not end.
        """
        for process in self._started.values():
            process.terminate()
        for name in list(self._started):
            self.stop(name, POLITE)
        with contextlib.suppress(DemoError):
            self._stop_gateway()
        deadline = time.monotonic() + LAST
        while left := list(_descendants(os.getpid())):
            if time.monotonic() > deadline:
                raise DemoError(f"Processes {', '.join(str(card.pid) for card in left)} do not end.")
            for card in left:
                send(card, signal.SIGKILL)
            _reap()
            time.sleep(0.02)
        end_all(self._cards, POLITE)

    def _stop_gateway(self) -> None:
        if not self._gateway.exists():
            return
        try:
            control.stop(self._gateway)
        except (GatewayError, OSError) as error:
            raise DemoError(str(error)) from error


def _descendants(pid: int) -> Iterator[Card]:
    """Every process that was started by this one, or by one of those, and still runs."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                above = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                children.setdefault(above, []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            waiting.append(child)
            since = started(child)
            if since is not None:
                yield Card(child, since, "descendant")


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
