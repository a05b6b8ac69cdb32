"""Which processes belong to a gateway: found by its own files and by kinship, never by name."""

from __future__ import annotations

from pathlib import Path

from gateway import processes
from gateway.paths import home as home_of
from gateway.zygote import NONCE


def children(pid: int) -> set[int]:
    """Pids of a process's children."""
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def supervisor(home: Path) -> int:
    """Pid of the gateway's oldest process. Raises ValueError while one that just took the lock has not written it."""
    pid, _started = (home / "lock").read_text().split()
    return int(pid)


def server(home: Path) -> int:
    """Pid of the process that serves: the supervisor's only child without a card."""
    (found,) = children(supervisor(home)) - set(carded(home))
    return found


def carded(home: Path) -> list[int]:
    """Pids of the zygote and the workers."""
    return [card.pid for card in processes.cards(home_of(home).run)]


def all_of(home: Path) -> list[int]:
    """Pids of every process of the gateway."""
    return [supervisor(home), server(home), *carded(home)]


def zygote(home: Path) -> int:
    """Pid of the process that workers are forked from."""
    card = processes.read(processes.path_of(home_of(home).run, NONCE))
    assert card is not None
    return card.pid
