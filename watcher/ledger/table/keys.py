r"""Row keys: names of any text made legal, and times that sort.

Rows come back in the order of their keys and in no other, so whatever is asked for is the beginning of a range.
A key may hold 512 characters, and neither / \ # ? nor a control character.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct

from watcher.errors import Terminal

PARTITION = "ledger"
"""All rows are in one partition: only there a transaction can reach a record, its appointment and its lines at once."""
RECORD = "r!"
APPOINTMENT = "d!"
SAVE = "s!"
"""Begins the row that makes the lines visible which were written ahead of their record."""
HISTORY = "h"
LONGEST = 120
_UNSAFE = re.compile(rb"[^A-Za-z0-9._-]")
_SIGN = 1 << 63
_ALL = (1 << 64) - 1


def name(text: str) -> str:
    """The text in letters, digits and `._-=~`, one to one; of a long one its beginning and its SHA-256."""
    raw = text.encode("utf-8", "surrogatepass")
    written = _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], raw).decode("ascii")
    return written if len(written) <= LONGEST else f"{written[:40]}~{hashlib.sha256(raw).hexdigest()}"


def rising(at: float) -> str:
    """16 characters that sort as the times do. Raises Terminal for a time that is not a number."""
    return f"{_sortable(at):016x}"


def falling(at: float) -> str:
    """16 characters that sort the latest time first."""
    return f"{_ALL - _sortable(at):016x}"


def appointment(key: str, due: float) -> str:
    """The row key of an appointment: the longest overdue first."""
    return f"{APPOINTMENT}{rising(due)}!{name(key)}"


def place(at: float, written_ns: int, index: int, save: str) -> str:
    """The end of a line's keys: the latest first, and of one moment the one that was written last."""
    return f"{falling(at)}!{_ALL - written_ns:016x}{0xFFFFFF - index:06x}{save[:8]}"


def indexes(model: str, event: str, target: str | None) -> list[str]:
    """The beginnings of the keys under which a line is kept: one for each combination that is asked for."""
    of_model, of_event = name(model), name(event)
    kept = [f"{HISTORY}a!", f"{HISTORY}m!{of_model}!", f"{HISTORY}k!{of_event}!", f"{HISTORY}e!{of_model}!{of_event}!"]
    return kept if target is None else [*kept, f"{HISTORY}t!{of_model}!{of_event}!{name(target)}!"]


def index(model: str | None, event: str | None, target: str | None) -> tuple[str, str | None]:
    """Where the lines of a question begin, and the target that is still to be chosen by."""
    rest = None if target is None else name(target)
    if model is None:
        return (f"{HISTORY}a!" if event is None else f"{HISTORY}k!{name(event)}!"), rest
    if event is None:
        return f"{HISTORY}m!{name(model)}!", rest
    if rest is None:
        return f"{HISTORY}e!{name(model)}!{name(event)}!", None
    return f"{HISTORY}t!{name(model)}!{name(event)}!{rest}!", None


def within(begin: str, latest: float | None = None, earliest: float | None = None) -> tuple[str, str]:
    """The range of keys from `latest` back to `earliest`, both included: from the first on, up to before the second."""
    first = begin if latest is None else begin + falling(latest)
    return first, behind(begin if earliest is None else f"{begin}{falling(earliest)}!")


def behind(begin: str) -> str:
    """The key behind all that begin so; `begin` ends in the separator."""
    return begin[:-1] + chr(ord(begin[-1]) + 1)


def _sortable(at: float) -> int:
    """A float's bits as a number of 64 bits in the order of the floats."""
    if math.isnan(at):
        raise Terminal("ledger: a time is not a number")
    bits: int = struct.unpack(">Q", struct.pack(">d", at + 0.0))[0]
    return _ALL - bits if bits & _SIGN else bits | _SIGN
