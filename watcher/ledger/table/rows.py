"""What the ledger keeps as rows of a table, and back.

| key | row |
|---|---|
| `r!MODEL` | a record: its JSON, the token of the save that wrote it, and the key of its appointment |
| `d!TIME!MODEL` | an appointment: the record's key |
| `ha!`, `hm!MODEL!`, `hk!EVENT!`, `he!MODEL!EVENT!`, `ht!MODEL!EVENT!TARGET!` and a time | a line, once for each |
| `s!TOKEN` | a save whose lines were written ahead of it: they count from now on |
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from watcher.errors import Terminal
from watcher.ledger.json_text import to_json
from watcher.ledger.table import keys
from watcher.ports import Line
from watcher.text import plain

Row = dict[str, Any]
TEXT = 32_768
"""Characters of one property."""
PART = 65_536
"""Bytes of one property."""
PARTS = 15
"""So many parts leave room for the rest of a row, which may have 1 MiB."""
MOST_ROWS = 100
"""Rows of one transaction."""
MOST_BYTES = 3_500_000
"""Bytes of one transaction; the service takes 4 MiB, its own words included."""
_OVERHEAD = 1_200


def record(key: str, text: str, token: str, appointment: str | None, due: float | None) -> Row:
    """The row of a record; `appointment` is the key of the row that makes it due. Raises Terminal as `packed` does."""
    row = _row(keys.RECORD + keys.name(key), packed(text, f"the record of {plain(key)!r}"))
    dated = {} if appointment is None or due is None else {"appointment": appointment, "due": float(due)}
    return row | {"token": token} | dated


def appointment(key: str, due: float) -> Row:
    """The row that makes a record due."""
    return _row(keys.appointment(key, due), packed(to_json(key), "a key"))


def key_of(row: Mapping[str, Any]) -> str | None:
    """The record's key that an appointment holds, None where it holds none."""
    key = _value(row)
    return key if isinstance(key, str) else None


def due_of(row: Mapping[str, Any]) -> float | None:
    """When a record asked to be looked at again, None where it did not."""
    due = row.get("due")
    return due if isinstance(due, float) else None


def marker(token: str) -> Row:
    """The row that makes the lines count that were written ahead of this save."""
    return _row(keys.SAVE + token, {})


def lines(given: Sequence[Line], written_ns: int, token: str) -> list[Row]:
    """Every line once for each of its indexes. Raises Terminal for what is not JSON, or larger than a row may be."""
    return [row for index, line in enumerate(given) for row in _copies(line, written_ns, index, token)]


def _copies(line: Line, written_ns: int, index: int, token: str) -> Iterator[Row]:
    place = keys.place(float(line.at), written_ns, index, token)
    fields = [float(line.at), line.model, line.event, line.target, line.version, line.reason, line.data]
    content = packed(to_json(fields), f"a history line of {plain(line.model)!r}")
    if line.target is not None:
        content["target"] = keys.name(line.target)
    for begin in keys.indexes(line.model, line.event, line.target):
        yield _row(begin + place, content)


def line_of(row: Mapping[str, Any]) -> Line | None:
    """The row as a history line, None where it holds none."""
    match _value(row):
        case [
            float(at),
            str(model),
            str(event),
            str() | None as target,
            int() | None as version,
            str(reason),
            data,
        ] if data is None or isinstance(data, dict):
            return Line(at, model, event, target, version, reason, data)
    return None


def body_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The record's JSON; an empty object where it can no longer be read, which the loop takes for a lost record."""
    value = _value(row)
    return value if isinstance(value, dict) else {}


def _value(row: Mapping[str, Any]) -> Any:
    """The JSON of a row, None where somebody made something else of it."""
    try:
        return json.loads(unpacked(row))
    except (ValueError, TypeError, RecursionError, zlib.error):
        return None


def packed(text: str, what: str) -> Row:
    """ASCII text as properties of a row: as it is, or compressed in parts. Raises Terminal where it does not fit."""
    if len(text) <= TEXT:
        return {"text": text}
    small = zlib.compress(text.encode("ascii"))
    if len(small) > PARTS * PART:
        raise Terminal(
            f"ledger: {what} takes {len(small):,} bytes even compressed, and a row of a table holds {PARTS * PART:,};"
            " log less with the version, or keep the ledger in sqlite:///FILE"
        )
    return {f"part{start // PART:02}": small[start : start + PART] for start in range(0, len(small), PART)}


def unpacked(row: Mapping[str, Any]) -> str:
    """The text that `packed` made these properties of."""
    parts = [row[name] for name in sorted(row) if name.startswith("part")]
    return zlib.decompress(b"".join(parts)).decode("ascii") if parts else str(row.get("text", ""))


def portions(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in as many portions as transactions are needed."""
    portion: list[Row] = []
    for row in rows:
        if portion and not fits([*portion, row]):
            yield portion
            portion = []
        portion.append(row)
    if portion:
        yield portion


def fits(rows: Sequence[Row]) -> bool:
    """Whether one transaction can carry them."""
    return len(rows) <= MOST_ROWS and sum(map(_weight, rows)) <= MOST_BYTES


def _row(key: str, content: Row) -> Row:
    return {"PartitionKey": keys.PARTITION, "RowKey": key, **content}


def _weight(row: Row) -> int:
    """Bytes of a row in a transaction, rather too many: text is escaped there, and bytes are written as base64."""
    return _OVERHEAD + sum(len(v) * 4 // 3 if isinstance(v, bytes) else len(json.dumps(v)) for v in row.values())
