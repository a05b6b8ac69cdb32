"""What is done with a ledger file that SQLite can no longer read whole: kept, read as far as it goes, never deleted."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from watcher.ledger import trouble

AT_ONCE = 4096
"""Rows read in one go."""
MOST_FAILURES = 200_000
"""After so many failed reads the rest is given up, so that starting again takes minutes at most."""
PAGE = 4096
VALID_FOR = 92
"""Where the first page names the change (bytes 24 to 27) for which its count of pages holds."""


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Let one process at a time replace the file; the lock ends with its process."""
    guard = path.with_name(path.name + ".guard")
    with closing(sqlite3.connect(guard, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def damaged(path: Path) -> bool:
    """Whether the file that lies there now is a damaged one: another process may have replaced it already."""
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok")
    except sqlite3.Error as error:
        return trouble.is_damage(error)


def move_aside(path: Path) -> Path:
    """Rename the file, and first its log: a log beside a new file would be replayed into it. Returns the new name."""
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for tail in ("-wal", ""):
        source = path.with_name(path.name + tail)
        if source.exists():
            source.rename(kept.with_name(kept.name + tail))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    return kept


def history(kept: Path, columns: str, tables: str) -> Iterator[Sequence[Sequence[Any]]]:
    """Rows of the history that can still be read, oldest first, in portions. The kept file itself is not touched.

    `tables` is the script that makes a new ledger: its first page stands in for one that cannot be read.
    """
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=kept.name) as made:
        copy = Path(made) / "copy.db"
        for tail in ("", "-wal"):
            source = kept.with_name(kept.name + tail)
            if source.exists():
                shutil.copyfile(source, copy.with_name(copy.name + tail))
        whole = copy.read_bytes()[:PAGE]
        for first_page in (whole, _first_page(Path(made) / "new.db", tables)):
            _write_first_page(copy, first_page)
            found = False
            for rows in _rows(copy, columns):
                found = True
                yield rows
            if found:
                return


def _first_page(path: Path, tables: str) -> bytes:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(tables)
    return path.read_bytes()[:PAGE]


def _write_first_page(copy: Path, page: bytes) -> None:
    """Write it with a mark that its count of pages is not to be believed: the file may have been cut short."""
    with copy.open("r+b") as file:
        file.write(page[:VALID_FOR] + bytes(255 - byte for byte in page[24:28]) + page[VALID_FOR + 4 :])


def _rows(copy: Path, columns: str) -> Iterator[Sequence[Sequence[Any]]]:
    try:
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogatepass")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            # A row takes at least these bytes: what says otherwise is damage too.
            last = min(_last(connection), copy.stat().st_size // 16)
            yield from _readable(connection, columns, last)
    except sqlite3.Error:
        return


def _last(connection: sqlite3.Connection) -> int:
    """An upper bound of the row numbers, from wherever it can be read."""
    for query in ("SELECT seq FROM sqlite_sequence WHERE name = 'history'", "SELECT max(id) FROM history"):
        try:
            found = connection.execute(query).fetchone()
        except sqlite3.Error:
            continue
        if found and isinstance(found[0], int):
            return found[0]
    return sys.maxsize


def _readable(connection: sqlite3.Connection, columns: str, last: int) -> Iterator[Sequence[Sequence[Any]]]:
    """Halve what cannot be read until only the damaged rows are left out."""
    todo = [(1, last)]
    query = f"SELECT {columns} FROM history NOT INDEXED WHERE id BETWEEN ? AND ? ORDER BY id"  # noqa: S608 our own names
    failed = 0
    while todo and failed < MOST_FAILURES:
        low, high = todo.pop()
        if high - low >= AT_ONCE:
            todo += [(low + AT_ONCE, high), (low, low + AT_ONCE - 1)]
            continue
        try:
            rows = connection.execute(query, (low, high)).fetchall()
        except (sqlite3.Error, UnicodeDecodeError):
            failed += 1
            if low < high:
                middle = (low + high) // 2
                todo += [(middle + 1, high), (low, middle)]
            continue
        if rows:
            yield rows
