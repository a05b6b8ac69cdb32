"""CPU and memory of processes, from /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
MB = 1_000_000


def command(pid: int) -> str:
    """How it was started; empty where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    return ""


def cpu(pids: Iterable[int]) -> float:
    """CPU seconds of these processes since they started, and of children they have waited for.

    Counted in ticks, usually of 10 ms: only good for differences of many of them.
    """
    spent = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            spent += sum(int(value) for value in _stat(pid)[11:15])
    return spent / TICK


def pss(pids: Iterable[int]) -> float:
    """MB of these processes, pages they share with others counted by their part."""
    return sum(_kilobytes(pid, "smaps_rollup", b"Pss:") for pid in pids)


def anonymous(pid: int) -> float:
    """MB that no file backs: what the system cannot take back without swapping."""
    return _kilobytes(pid, "status", b"RssAnon:")


def rss(pid: int) -> float:
    """MB that are resident."""
    return _kilobytes(pid, "smaps_rollup", b"Rss:")


def _kilobytes(pid: int, file: str, key: bytes) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_bytes().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024 / MB
    return 0.0


def _stat(pid: int) -> list[bytes]:
    """Fields of /proc/PID/stat from the third on: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
