"""CPU and memory of processes, from /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
MB = 1_000_000


def tree(root: int) -> list[int]:
    """The process and everything it started that still runs."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return found


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
    return sum(_rollup(pid, b"Pss:") for pid in pids)


def rss(pid: int) -> float:
    """MB that are resident."""
    return _rollup(pid, b"Rss:")


def _rollup(pid: int, key: bytes) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024 / MB
    return 0.0


def _stat(pid: int) -> list[bytes]:
    """Fields of /proc/PID/stat from the third on: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
