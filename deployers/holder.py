"""Who listens on a port of this machine, as Linux tells it in /proc. Empty where it cannot be found out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from watcher.text import plain

PROC = Path("/proc")
LISTENS = "0A"
"""A listening socket's state in /proc/net/tcp."""
GATEWAY = [b"-m", b"gateway"]


def remedy(port: int) -> str:
    """A clause that names the holder of a TCP port and says what to do, such as `process 123 (nginx) has it: ...`."""
    who = holder(port)
    return f"{who} has it: end that, or give the target another port" if who else "give the target another place"


def holder(port: int) -> str:
    """`process 123 (nginx)`, or the gateway of a home. Of another user's process only that there is one."""
    inodes = set(_listening(port))
    if not inodes:
        return ""
    for process in sorted((p for p in PROC.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name)):
        if not inodes.isdisjoint(_handles(process)):
            with contextlib.suppress(OSError):
                return f"{_name(process)} (process {process.name})"
    return "a process of another user"


def _listening(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for row in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = row.split()
                if fields[3] == LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    yield f"socket:[{fields[9]}]"


def _handles(process: Path) -> Iterator[str]:
    """What a process has open. Processes and handles come and go meanwhile, and those of others are not shown."""
    with contextlib.suppress(OSError):
        for handle in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield str(handle.readlink())


def _name(process: Path) -> str:
    """The program. Its arguments may hold secrets, so none but a gateway's home is shown."""
    words = (process / "cmdline").read_bytes().split(b"\0")
    for at in range(len(words) - 3):
        if words[at : at + 2] == GATEWAY and words[at + 2] == b"--home":
            return f"the gateway in {plain(os.fsdecode(words[at + 3]), 200)}"
    return plain((process / "comm").read_text().strip() or "a program", 40)
