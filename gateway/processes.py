"""Processes that outlive whoever started them, known by cards: small files with pid and start time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.files import read_json, write_json


@dataclass(frozen=True)
class Card:
    """One running process. The start time tells it from another that was given the same pid later."""

    pid: int
    started: str
    nonce: str
    endpoint: str = ""
    release: str = ""
    key: str = ""
    """Identity of the version that the worker serves; empty for the zygote."""


def path_of(run: Path, nonce: str) -> Path:
    """Where the card lies."""
    return run / f"{nonce}.json"


def write(run: Path, card: Card) -> None:
    """From here on the process is known."""
    write_json(path_of(run, card.nonce), asdict(card))


def read(path: Path) -> Card | None:
    """The card, None where it is gone or is not one."""
    found = read_json(path)
    try:
        card = Card(**found)
        return card if card.pid > 1 else None
    except TypeError:
        return None


def cards(run: Path) -> list[Card]:
    """All known processes, running or not."""
    return [card for path in sorted(run.glob("*.json")) if (card := read(path)) is not None]


def remove(run: Path, nonce: str) -> None:
    """Forget a process: its card and its sockets."""
    for ending in ("json", "sock", "ctl", "order"):
        with contextlib.suppress(OSError):
            (run / f"{nonce}.{ending}").unlink()


def started(pid: int) -> str | None:
    """When the process started, in ticks since boot; None where it does not run (any more)."""
    try:
        rest = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if rest[0] in (b"Z", b"X") else rest[19].decode()
    except (OSError, IndexError):
        return None


def alive(card: Card) -> bool:
    """Whether the process on the card runs."""
    return started(card.pid) == card.started


@dataclass(frozen=True)
class Work:
    """What a process is doing: its state as the kernel has it, and the ticks of processor time that it used."""

    state: bytes
    ticks: int

    def rests_since(self, before: Work | None) -> bool:
        """Whether it did nothing in between and does nothing now: it sleeps, or was stopped."""
        return before is not None and self.ticks == before.ticks and self.state in (b"S", b"T", b"t")


def work(pid: int) -> Work | None:
    """How far the process has come, None where it does not run (any more)."""
    try:
        rest = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return Work(rest[0], int(rest[11]) + int(rest[12]))
    except (OSError, IndexError, ValueError):
        return None


def memory(pid: int) -> int | None:
    """Bytes that are this process's alone, None where that cannot be told.

    A fork's resident size counts the libraries it shares with its parent, which its end would not give back.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(b"Private_")) * 1024
    except (OSError, IndexError, ValueError):
        return None


def send(card: Card, number: int) -> None:
    """Signal the process if it still is the one on the card."""
    if alive(card):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(card.pid, number)


def is_free(lock: str) -> bool:
    """Whether nobody holds the gateway's lock. Looking takes it for an instant, which its owner allows for."""
    try:
        handle = os.open(lock, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(handle)


def end_all(run: Path, polite: float) -> None:
    """End every process with a card; blocks for at most `polite` seconds and a little."""
    left = _signal(cards(run), signal.SIGTERM)
    deadline = time.monotonic() + polite
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [card for card in left if alive(card)]
    left = _signal(left, signal.SIGKILL)
    deadline = time.monotonic() + 2
    while left and time.monotonic() < deadline:
        time.sleep(0.01)
        left = [card for card in left if alive(card)]
    for card in cards(run):
        if not alive(card):
            remove(run, card.nonce)


def _signal(them: Iterable[Card], number: int) -> list[Card]:
    running = [card for card in them if alive(card)]
    for card in running:
        send(card, number)
    return running
