"""The ledger in one table of Azure Storage: records that may be wiped and a history that may only grow.

Any number of threads, processes and machines may use it at once.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from watcher.errors import Conflict, WatcherError
from watcher.ledger.json_text import to_json
from watcher.ledger.table import calls, keys, rows, trouble
from watcher.ports import Line, Stored
from watcher.retry import Retry
from watcher.text import plain

if TYPE_CHECKING:
    from azure.data.tables import TableClient

T = TypeVar("T")


class TableLedger:
    """`watcher.ports.Ledger` on one table, which is made at the first call that misses it."""

    def __init__(self, connect: Callable[[], TableClient], where: str, retry: Retry | None = None) -> None:
        """`where` names the ledger in messages."""
        self.where = plain(where)
        self._connect = connect
        self._retry = retry or Retry(attempts=4, first=0.1, longest=2.0, budget=15.0)
        self._lock = threading.Lock()
        self._client: TableClient | None = None
        self._process = os.getpid()
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator must be told: sentences about rows that are not the ledger's own."""
        return tuple(self._notes)

    def load(self, key: str) -> Stored | None:
        def read(client: TableClient) -> Stored | None:
            row = calls.get(client, keys.RECORD + keys.name(key))
            return None if row is None else Stored(rows.body_of(row), str(calls.Revision.of(row)), rows.due_of(row))

        return self._call(read)

    def save(
        self,
        key: str,
        body: Mapping[str, Any],
        unchanged: str | None,
        lines: Sequence[Line] = (),
        due: float | None = None,
    ) -> str:
        token = secrets.token_hex(16)
        appointment = None if due is None else rows.appointment(key, due)
        record = rows.record(key, to_json(body), token, None if appointment is None else appointment["RowKey"], due)
        told = rows.lines(lines, time.time_ns(), token)
        before = None if unchanged is None else calls.Revision.read(unchanged)
        if unchanged is not None and before is None:
            raise calls.overtaken(key)
        # Room for an appointment that is made and one that is cancelled.
        fits = rows.fits([record, rows.marker(token), rows.marker(token), *told])
        ahead = [] if fits else [row | {"save": token} for row in told]
        with_record = told if fits else [rows.marker(token)]
        writes = [calls.replace(record, before)]
        if appointment is not None:
            writes.append(calls.put(appointment))
        writes += map(calls.put, with_record)
        cancelled = before.appointment if before and before.appointment != record.get("appointment") else None
        witness = with_record[0]["RowKey"] if with_record else None
        save = calls.Save(key, before, token, writes, cancelled, witness)
        if ahead:
            self._write_ahead(key, before, ahead)
        try:
            etag = self._call(lambda client: calls.commit(client, save))
        except Conflict:
            self._withdraw(ahead)
            raise
        return str(calls.Revision(token, record.get("appointment"), etag))

    def due(self, now: float) -> Sequence[str]:
        until = keys.behind(f"{keys.APPOINTMENT}{keys.rising(now)}!")

        def read(client: TableClient) -> list[str]:
            found = []
            for row in calls.query(client, keys.APPOINTMENT, until):
                key = rows.key_of(row)
                if key is None:
                    self._leave_out(row)
                else:
                    found.append((_moment(row), key))
            # Of one moment in the order of the keys themselves, not of how they are written in a row key.
            return [key for _, key in sorted(found)]

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
        """As the port has it. Oldest first reads all lines between the two times, and keeps `most` of them."""
        begin, chosen = keys.index(model, event, target)
        first, behind = keys.within(begin, until, since)

        def read(client: TableClient) -> list[Line]:
            if most <= 0:
                return []
            found = self._lines(client, calls.query(client, first, behind, chosen, min(most, calls.PAGE)))
            return list(islice(found, most)) if newest_first else [*deque(found, most)][::-1]

        return self._call(read)

    def wipe(self) -> None:
        """Forget every record. The history stays."""

        def delete(client: TableClient) -> None:
            for begin in (keys.RECORD, keys.APPOINTMENT):
                found = list(calls.query(client, begin, keys.behind(begin)))
                for portion in rows.portions(found):
                    client.submit_transaction([calls.delete(row["RowKey"]) for row in portion])

        self._call(delete)

    def close(self) -> None:
        """Let go of the connections; the next call makes new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _lines(self, client: TableClient, found: Iterator[Any]) -> Iterator[Line]:
        counts: dict[str, bool] = {}
        for row in found:
            save = row.get("save")
            if save is not None and save not in counts:
                counts[save] = calls.get(client, keys.SAVE + save) is not None
            if save is not None and not counts[save]:
                continue
            line = rows.line_of(row)
            if line is None:
                self._leave_out(row)
            else:
                yield line

    def _leave_out(self, row: Mapping[str, Any]) -> None:
        note = f"ledger {self.where}: the row {plain(row['RowKey'])} is not as it was written; it was left out"
        self._notes[note] = None

    def _write_ahead(self, key: str, before: calls.Revision | None, ahead: Sequence[rows.Row]) -> None:
        """Lines that do not fit into the record's transaction are there before it, and count once it is through."""

        def look(client: TableClient) -> str | None:
            row = calls.get(client, keys.RECORD + keys.name(key))
            return None if row is None else calls.Revision.of(row).token

        if self._call(look) != (before and before.token):
            raise calls.overtaken(key)
        for portion in rows.portions(ahead):
            self._submit([calls.put(row) for row in portion])

    def _withdraw(self, ahead: Sequence[rows.Row]) -> None:
        """What is left of a lost race is never shown; where it cannot be removed it only takes space."""
        for portion in rows.portions(ahead):
            with contextlib.suppress(WatcherError):
                self._submit([calls.delete(row["RowKey"]) for row in portion])

    def _submit(self, operations: Sequence[calls.Operation]) -> None:
        self._call(lambda client: client.submit_transaction(operations))

    def _call(self, work: Callable[[TableClient], T]) -> T:
        from azure.core.exceptions import AzureError

        def attempt() -> T:
            client = self._connected()
            try:
                return calls.with_table(client, work)
            except AzureError as error:
                raise trouble.translate(error, self.where) from error

        return self._retry(attempt)

    def _connected(self) -> TableClient:
        with self._lock:
            if self._process != os.getpid():
                # A connection must not cross a fork, nor be closed on the other side of one.
                _INHERITED.append(self._client)
                self._client, self._process = None, os.getpid()
            if self._client is None:
                self._client = self._connect()
            return self._client


_INHERITED: list[object] = []


def _moment(row: Mapping[str, Any]) -> str:
    return str(row["RowKey"]).split("!")[1]
