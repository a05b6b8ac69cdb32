"""What SQLite's error codes mean for the loop."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from watcher.errors import Terminal, Transient

_AGAIN = {
    sqlite3.SQLITE_BUSY: ("another process keeps it locked", 1.0),
    sqlite3.SQLITE_LOCKED: ("another connection keeps it locked", 1.0),
    sqlite3.SQLITE_FULL: ("the disk is full; free some space", 5.0),
    sqlite3.SQLITE_IOERR: ("the disk could not be read or written; look at its free space and health", 5.0),
    sqlite3.SQLITE_NOMEM: ("the machine is out of memory", 60.0),
    sqlite3.SQLITE_INTERRUPT: ("the call was interrupted", 1.0),
    sqlite3.SQLITE_SCHEMA: ("its tables changed during the call", 1.0),
    sqlite3.SQLITE_PROTOCOL: ("too many processes opened it at once", 1.0),
}
_NEVER = {
    sqlite3.SQLITE_READONLY: "it cannot be written; let the watcher's user write to the file and its folder",
    sqlite3.SQLITE_PERM: "the file system denies access to it",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; the folder must exist and the watcher's user may write there",
    sqlite3.SQLITE_TOOBIG: "a value is larger than a row may be",
}


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is no longer a readable database."""
    return _primary(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_busy(error: BaseException) -> bool:
    """Whether a moment of patience may be enough."""
    return isinstance(error, sqlite3.Error) and _primary(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translate(error: sqlite3.Error, path: Path) -> Transient | Terminal:
    """The error as the loop understands it, with a sentence that names the file."""
    code = _primary(error)
    if code in _AGAIN:
        why, after = _AGAIN[code]
        return Transient(f"ledger {path}: {why} ({_name(error)})", after)
    why = _NEVER.get(code, "the database refused the call")
    return Terminal(f"ledger {path}: {why} ({_name(error)})")


def _primary(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)) & 0xFF


def _name(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", type(error).__name__))
