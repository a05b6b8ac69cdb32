"""The few calls to the table that the ledger is made of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from watcher.errors import Conflict
from watcher.ledger.table import keys, rows, trouble
from watcher.text import plain

if TYPE_CHECKING:
    from azure.data.tables import TableClient

PAGE = 1000
"""Rows that one answer holds at most."""
UNDECIDED = (404, 409, 412)
"""Statuses of a save that lost a race, or that is a repeat of one whose answer was lost."""
T = TypeVar("T")
Operation = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Revision:
    """What the next save has to name: the token that makes it unique, the appointment to cancel, the service's ETag."""

    token: str
    appointment: str | None
    etag: str

    def __str__(self) -> str:
        return f"{self.token} {self.appointment or '-'} {self.etag}"

    @classmethod
    def of(cls, row: Any) -> Revision:
        return cls(str(row.get("token", "")), row.get("appointment"), str(row.metadata["etag"]))

    @classmethod
    def read(cls, text: str) -> Revision | None:
        token, _, rest = text.partition(" ")
        appointment, _, etag = rest.partition(" ")
        return cls(token, None if appointment == "-" else appointment, etag) if etag else None


def with_table(client: TableClient, work: Callable[[TableClient], T]) -> T:
    """Do the work, and make the table where it is missing."""
    from azure.core.exceptions import HttpResponseError, ResourceExistsError

    try:
        return work(client)
    except HttpResponseError as error:
        if not trouble.is_missing_table(error):
            raise
    with contextlib.suppress(ResourceExistsError):
        client.create_table()
    return work(client)


@dataclass(frozen=True, slots=True)
class Save:
    """One compare-and-set with all that is written in its transaction."""

    key: str
    before: Revision | None
    token: str
    writes: Sequence[Operation]
    cancelled: str | None
    """Row key of an appointment that no longer holds."""
    witness: str | None
    """Row key of a row that only this save writes, and nobody changes: where there is one, the save went through."""


def commit(client: TableClient, save: Save) -> str:
    """The one transaction of a save, which may be repeated after a lost answer.

    Returns the record's new ETag, empty where the record has changed again since. Raises Conflict where somebody else
    was faster.
    """
    from azure.core.exceptions import HttpResponseError

    gone = [delete(save.cancelled)] if save.cancelled else []
    try:
        return str(client.submit_transaction([*save.writes, *gone])[0]["etag"])
    except HttpResponseError as error:
        if error.status_code not in UNDECIDED or trouble.is_missing_table(error):
            raise
        row = get(client, keys.RECORD + keys.name(save.key))
        found = None if row is None else Revision.of(row)
        if found is not None and found.token == save.token:
            return found.etag
        if save.witness is not None and get(client, save.witness) is not None:
            return ""
        if found is None or save.before is None or found.etag != save.before.etag or not gone:
            raise overtaken(save.key) from error
    # Nobody was faster: the appointment is no longer there to be cancelled.
    return str(client.submit_transaction(save.writes)[0]["etag"])


def overtaken(key: str) -> Conflict:
    """What a save answers that lost its race."""
    return Conflict(f"ledger: {plain(key)!r} was written by somebody else in the meantime")


def replace(record: rows.Row, before: Revision | None) -> Operation:
    """The record in place of the one that was read, or the first one."""
    from azure.core import MatchConditions

    if before is None:
        return ("create", record)
    unchanged = {"etag": before.etag, "match_condition": MatchConditions.IfNotModified}
    return ("update", record, {"mode": "replace", **unchanged})


def put(row: rows.Row) -> Operation:
    """The row, whether it is there already or not."""
    return ("upsert", row, {"mode": "replace"})


def delete(row_key: str) -> Operation:
    """No such row from now on; one that is missing fails the transaction."""
    return ("delete", {"PartitionKey": keys.PARTITION, "RowKey": row_key})


def get(client: TableClient, row: str) -> Any:
    """The row with its ETag, None where there is none."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return client.get_entity(keys.PARTITION, row)
    except ResourceNotFoundError as error:
        if trouble.is_missing_table(error):
            raise
        return None


def query(client: TableClient, first: str, behind: str, target: str | None = None, page: int = PAGE) -> Iterator[Any]:
    """Rows from one key up to before another, a page at a time."""
    question = "PartitionKey eq @partition and RowKey ge @first and RowKey lt @behind"
    values = {"partition": keys.PARTITION, "first": first, "behind": behind}
    if target is not None:
        question += " and target eq @target"
        values["target"] = target
    return iter(client.query_entities(question, parameters=values, results_per_page=page))
