"""A child process that is fed, watched and ended: by its time, by its memory, with everything it started."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

EVERY = 0.05
"""Seconds between two looks at its memory."""


class Ended(Exception):
    """It was ended, or ended badly; the message says how."""


class Bounded:
    """One child in a session of its own. Its output goes to the log; `feed` writes to its standard input.

    Its time begins with `feed`: what it does until then is nobody's wait.
    """

    def __init__(
        self, command: list[str], environ: Mapping[str, str], log: Path, *, memory: int, seconds: float, folder: Path
    ) -> None:
        self._memory, self._seconds, self._ends = memory, seconds, math.inf
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=dict(environ),
                cwd=folder,
                start_new_session=True,
            )
        self._why = ""
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def feed(self, write: Callable[[IO[bytes]], None]) -> None:
        """Let `write` send it everything it is to read, then wait for its end.

        Raises Ended where it does not end well, and whatever `write` raises about what is to be sent.
        """
        pipe, self._ends = self._child.stdin, time.monotonic() + self._seconds
        try:
            if pipe is not None:
                # A child that has ended reads no more: how it ended says why.
                with contextlib.suppress(BrokenPipeError):
                    write(pipe)
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
            self._child.wait()
        finally:
            self.end()
        if self._why:
            raise Ended(self._why)
        if self._child.returncode:
            raise Ended(_ending(self._child.returncode))

    def end(self) -> None:
        """Kill it and whatever it started; harmless where nothing runs any more."""
        self._over.set()
        self._kill()
        self._watcher.join()
        self._child.wait()
        if self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()

    def _watch(self) -> None:
        while not self._over.wait(EVERY) and self._child.poll() is None:
            used = memory_of(tree(self._child.pid))
            if used > self._memory:
                self._why = f"it used more than {self._memory / 2**20:,.0f} MB of memory"
            elif time.monotonic() > self._ends:
                self._why = f"it was not done after {self._seconds:g} s"
            if self._why:
                self._kill()
                return

    def _kill(self) -> None:
        # What it started may have left its group: the processes in which Spark runs Python do.
        for started in tree(self._child.pid) if self._child.returncode is None else ():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(started, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)


def _ending(code: int) -> str:
    if code > 0:
        return f"it ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"it ended by signal {-code} ({signal.Signals(-code).name})"
    return f"it ended by signal {-code}"


def tree(pid: int) -> list[int]:
    """The process and everything it started that still runs."""
    found = [pid]
    for at in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{at}/task").iterdir():
                with contextlib.suppress(OSError):
                    found += [int(child) for child in (task / "children").read_text().split()]
    return found


def memory_of(pids: Iterable[int]) -> int:
    """Bytes in memory, of all of them together."""
    page, total = os.sysconf("SC_PAGE_SIZE"), 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, ValueError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
    return total
