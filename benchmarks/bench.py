"""What every benchmark is given, and what it gives back."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 120.0
"""Seconds until something that was started must answer."""
POLITE = 10.0
"""Seconds between the polite signal and the other one."""


class BenchError(Exception):
    """A sentence about why something could not be measured."""


def sure(true: object, what: str) -> None:
    """Raises BenchError where the world is not as it is measured to be."""
    if not true:
        raise BenchError(f"not as expected: {what}")


@dataclass(frozen=True)
class Figure:
    """One measured number of the table: the median of its rounds, unless the row says otherwise."""

    value: float
    told: str
    """The absolute numbers behind it, in words."""
    rounds: tuple[float, ...] = ()


Measured = Mapping[str, Figure]
"""By the key of the row."""


@dataclass
class Bench:
    """One run's surroundings. `size` below 1 shrinks the world, so that a test sees the whole thing work in seconds."""

    folder: Path
    rounds: int = 5
    size: float = 1.0
    say: Callable[[str], None] = lambda _text: None
    cache: dict[str, Path] = field(default_factory=dict)
    """What several benchmarks of one run share, by name."""

    def of(self, full: int, least: int = 1) -> int:
        """A count of the full world, scaled to this one."""
        return max(int(full * self.size), least)

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        number = sum(1 for _ in self.folder.iterdir())
        made = self.folder / f"{number}-{name}"
        made.mkdir()
        return made


def told_by(module: str, *arguments: str, **environ: str) -> str:
    """What `python -m MODULE` prints in a process of its own, with these variables too. Raises BenchError."""
    words = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(words, env=os.environ | environ, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise BenchError(f"{module} {' '.join(arguments[:1])} failed: {why}")
    return done.stdout


def median_figure(rounds: Sequence[float], told: str) -> Figure:
    """The median of one number a round."""
    return Figure(statistics.median(rounds), told, tuple(rounds))


@contextlib.contextmanager
def started(arguments: Sequence[str], log: Path, ending: int = signal.SIGTERM) -> Iterator[subprocess.Popen[bytes]]:
    """`python ARGUMENTS` in a session of its own, until the block ends; then nothing of that session is left.

    It finds the programs of this environment: `mlflow models serve` starts its server by name.
    """
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=log.parent,
            env=os.environ | {"PATH": programs},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _signal(process.pid, ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLITE)
        _signal(process.pid, signal.SIGKILL)
        process.wait()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def until(condition: Callable[[], object], what: str, every: float = 0.01, patience: float = PATIENCE) -> None:
    """Wait for it. Raises BenchError where it does not come."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{what} did not happen within {patience:g} seconds")
        time.sleep(every)


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
