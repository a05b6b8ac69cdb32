"""The ledger in one SQLite file: records that may be wiped and a history that may only grow.

Both live in one file because they are written in one transaction, and two files cannot commit together in WAL mode.
Any number of threads and processes of one machine may use the file at once.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import tenacity

from watcher.errors import Conflict, Terminal, Transient
from watcher.ledger import salvage, trouble
from watcher.ledger.json_text import to_json, to_object
from watcher.ports import Line, Stored

FORMAT = 1
APPLICATION = 0x4D57_4C31
"""Marks the file as ours, so that an address by mistake never writes into another program's database."""

_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS record (
    key TEXT PRIMARY KEY, body TEXT NOT NULL, revision TEXT NOT NULL, due REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_due ON record (due, key) WHERE due IS NOT NULL;
CREATE TABLE IF NOT EXISTS history (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, model TEXT NOT NULL, event TEXT NOT NULL,
    target TEXT, version INTEGER, reason TEXT NOT NULL, data TEXT
);
CREATE INDEX IF NOT EXISTS history_time ON history (at);
CREATE INDEX IF NOT EXISTS history_event ON history (event, at);
CREATE INDEX IF NOT EXISTS history_model ON history (model, at);
CREATE INDEX IF NOT EXISTS history_model_event ON history (model, event, at);
CREATE INDEX IF NOT EXISTS history_model_target_event ON history (model, target, event, at);
CREATE TRIGGER IF NOT EXISTS history_is_not_rewritten BEFORE UPDATE ON history
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER IF NOT EXISTS history_is_not_deleted BEFORE DELETE ON history
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {FORMAT};
COMMIT;
"""
# Text goes in as bytes and is cast, so that any text comes back as it was, lone surrogates and NUL included.
_LOAD = "SELECT body, revision, due FROM record WHERE key = CAST(? AS TEXT)"
_REVISION = "SELECT revision FROM record WHERE key = CAST(? AS TEXT)"
_SAVE = "INSERT OR REPLACE INTO record (key, body, revision, due) VALUES (CAST(? AS TEXT), ?, ?, ?)"
_DUE = "SELECT key FROM record WHERE due <= ? ORDER BY due, key"
_COLUMNS = "at, model, event, target, version, reason, data"
_APPEND = (
    "INSERT INTO history (at, model, event, target, version, reason, data)"
    " VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), ?, CAST(? AS TEXT), ?)"
)
T = TypeVar("T")


class SqliteLedger:
    """`watcher.ports.Ledger` on one file. Closing it is only needed to let go of the file early."""

    def __init__(self, path: Path, patience: float = 5.0, clock: Callable[[], float] = time.time) -> None:
        """Open or make the file; `patience` is how long (seconds) to wait for another writer.

        Raises Terminal where the file belongs to another program or a newer watcher, or may not be written.
        """
        self.path = path
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._notes: list[str] = []
        self._file: tuple[int, int] | None = None
        self._process = os.getpid()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Terminal(f"ledger {path}: its folder cannot be made ({error.strerror})") from error
        try:
            self._call(lambda _: None)
        except _Replaced:
            self._call(lambda _: None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator must be told: sentences about a damaged file, and what was saved of it."""
        return tuple(self._notes)

    def load(self, key: str) -> Stored | None:
        def read(connection: sqlite3.Connection) -> Stored | None:
            found = connection.execute(_LOAD, (_raw(key),)).fetchone()
            return Stored(to_object(found[0]), found[1], found[2]) if found else None

        return self._call(read)

    def save(
        self,
        key: str,
        body: Mapping[str, Any],
        unchanged: str | None,
        lines: Sequence[Line] = (),
        due: float | None = None,
    ) -> str:
        text = to_json(body)
        rows = [row_of(line) for line in lines]
        revision = secrets.token_hex(16)

        def write(connection: sqlite3.Connection) -> str:
            with _transaction(connection):
                found = connection.execute(_REVISION, (_raw(key),)).fetchone()
                if (found[0] if found else None) != unchanged:
                    raise Conflict(f"ledger: {key!r} was written by somebody else in the meantime")
                connection.execute(_SAVE, (_raw(key), text, revision, due))
                connection.executemany(_APPEND, rows)
            return revision

        return self._call(write)

    def due(self, now: float) -> Sequence[str]:
        def read(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(_DUE, (now,))
            return [key for (key,) in rows]

        return self._call(read)

    def history(
        self,
        model: str | None = None,
        until: float | None = None,
        since: float | None = None,
        most: int = 1000,
        *,
        newest_first: bool = True,
        event: str | None = None,
        target: str | None = None,
    ) -> Sequence[Line]:
        wanted: list[str] = []
        values: list[Any] = []
        for condition, value in (
            ("model = CAST(? AS TEXT)", _raw(model)),
            ("event = CAST(? AS TEXT)", _raw(event)),
            ("target = CAST(? AS TEXT)", _raw(target)),
            ("at <= ?", until),
            ("at >= ?", since),
        ):
            if value is not None:
                wanted.append(condition)
                values.append(value)
        where = f"WHERE {' AND '.join(wanted)} " if wanted else ""
        way = "DESC" if newest_first else "ASC"
        # Only text of this file is put together here; every value is bound.
        query = f"SELECT {_COLUMNS} FROM history {where}ORDER BY at {way}, id {way} LIMIT ?"  # noqa: S608

        def read(connection: sqlite3.Connection) -> list[Line]:
            return [line_of(row) for row in connection.execute(query, (*values, max(most, 0)))]

        return self._call(read)

    def wipe(self) -> None:
        """Forget every record. The history stays."""
        self._call(lambda connection: connection.execute("DELETE FROM record"))

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._connection() as connection:
                return work(connection)
        except sqlite3.Error as error:
            if not trouble.is_damage(error):
                raise trouble.translate(error, self.path) from error
            raise self._replace() from error
        except OverflowError as error:
            raise Terminal(f"ledger {self.path}: a number is too large to be stored") from error

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = self._idle_connection() or self._connect()
        try:
            yield connection
        except sqlite3.Error:
            connection.close()
            raise
        except BaseException:
            self._give_back(connection)
            raise
        self._give_back(connection)

    def _idle_connection(self) -> sqlite3.Connection | None:
        with self._lock:
            if self._process != os.getpid():
                # A connection must not cross a fork, nor be closed on the other side of one.
                _INHERITED.append(self._idle)
                self._idle, self._process = [], os.getpid()
            if self._file != _file_of(self.path):
                # The file was moved or deleted: what is written through an old connection would be lost.
                stale, self._idle = self._idle, []
                for connection in stale:
                    connection.close()
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            self._idle.append(connection)

    @tenacity.retry(
        retry=tenacity.retry_if_exception(trouble.is_busy),
        wait=tenacity.wait_random(0.01, 0.1),
        stop=tenacity.stop_after_delay(5),
        reraise=True,
    )
    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=self._patience, isolation_level=None, check_same_thread=False)
        try:
            connection.text_factory = _text
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._file = _file_of(self.path)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # The tables are counted first: another process may be making them now, and its mark comes with them at once.
        tables, application, form = (
            connection.execute(query).fetchone()[0]
            for query in ("SELECT count(*) FROM sqlite_master", "PRAGMA application_id", "PRAGMA user_version")
        )
        if tables and application != APPLICATION:
            raise Terminal(f"ledger {self.path}: the file is another program's database; name another file")
        if form > FORMAT:
            raise Terminal(
                f"ledger {self.path}: the file has format {form}, this watcher reads {FORMAT}; use the newer watcher"
            )
        # SQLite waits for no lock while it changes the journal's mode, so it is only asked for when it must change.
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if form < FORMAT:
            connection.executescript(_TABLES)

    def _replace(self) -> _Replaced:
        """Start a new file in place of the damaged one and carry the readable history over."""
        self.close()
        try:
            with salvage.only_one(self.path):
                if not salvage.damaged(self.path):
                    return _Replaced(f"ledger {self.path}: it was damaged and has just been replaced", 0.0)
                kept = salvage.move_aside(self.path)
                rescued = self._carry_over(kept)
        except (OSError, sqlite3.Error) as error:
            return _Replaced(f"ledger {self.path}: it is damaged and could not be moved aside ({error})", 60.0)
        note = (
            f"ledger {self.path}: the file was damaged. It was kept as {kept.name}, {rescued} history lines were read"
            " from it into a new file, and the records start anew."
        )
        self._notes.append(note)
        return _Replaced(note, 0.0)

    def _carry_over(self, kept: Path) -> int:
        rescued = 0
        with self._connection() as connection:
            for rows in salvage.history(kept, _COLUMNS, _TABLES):
                readable = [row for row in rows if is_line(row)]
                with _transaction(connection):
                    connection.executemany(_APPEND, [row_of(line_of(row)) for row in readable])
                rescued += len(readable)
            line = Line(
                self._clock(),
                "#ledger",
                "ledger_rebuilt",
                reason="damaged",
                data={"kept": kept.name, "rescued": rescued},
            )
            with _transaction(connection):
                connection.execute(_APPEND, row_of(line))
        return rescued


class _Replaced(Transient):
    """The damaged file was replaced: what was read before may be gone, so the call is not repeated here."""


_INHERITED: list[object] = []


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def row_of(line: Line) -> tuple[Any, ...]:
    """A history line as the values of one row."""
    data = None if line.data is None else to_json(line.data)
    return (
        float(line.at),
        _raw(line.model),
        _raw(line.event),
        _raw(line.target),
        line.version,
        _raw(line.reason),
        data,
    )


def line_of(row: Sequence[Any]) -> Line:
    """A row as a history line; data that no longer is JSON becomes `{"unreadable": true}`."""
    at, model, event, target, version, reason, data = row
    read = None if data is None else to_object(data, {"unreadable": True})
    return Line(at, model, event, target, version, reason, read)


def is_line(row: Sequence[Any]) -> bool:
    """Whether a row from a damaged file still is a whole line."""
    at, model, event, target, version, reason, data = row
    texts = (model, event, reason, target or "", data or "null")
    if not isinstance(at, float) or not all(isinstance(text, str) for text in texts):
        return False
    return isinstance(version, int | None)


def _raw(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def _file_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
