"""A ledger in memory that keeps the contract, with faults to order, for tests and the simulation."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from watcher.errors import Conflict
from watcher.ledger.json_text import to_json
from watcher.ports import Line, Stored


@dataclass(frozen=True, slots=True)
class Call:
    """One call that reached the ledger."""

    verb: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """An error to raise at a call of `verb`, before or after its effect."""

    verb: str
    error: BaseException
    when: Literal["before", "after"] = "before"
    key: str | None = None
    """Only for this key, None for every one."""


@dataclass(frozen=True, slots=True)
class _Row:
    body: str
    revision: str
    due: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole ledger at one moment."""

    records: Mapping[str, _Row]
    lines: tuple[Line, ...]


class FakeLedger:
    """`watcher.ports.Ledger` in memory, safe for threads."""

    def __init__(self, revision: Callable[[], str] = lambda: secrets.token_hex(16)) -> None:
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self._revision = revision
        self._records: dict[str, _Row] = {}
        self._lines: list[Line] = []
        self._lock = threading.RLock()

    def fail(
        self,
        verb: str,
        error: BaseException,
        when: Literal["before", "after"] = "before",
        times: int = 1,
        key: str | None = None,
    ) -> None:
        """Let the next `times` calls of `verb` raise `error`, before or after they took effect."""
        self.faults += [Fault(verb, error, when, key)] * times

    def load(self, key: str) -> Stored | None:
        with self._lock:
            self._enter("load", key)
            stored = self.kept(key)
            self._leave("load", key)
            return stored

    def kept(self, key: str) -> Stored | None:
        """What `load` would give, without its faults and outside its calls."""
        with self._lock:
            row = self._records.get(key)
            return Stored(json.loads(row.body), row.revision, row.due) if row else None

    def save(
        self,
        key: str,
        body: Mapping[str, Any],
        unchanged: str | None,
        lines: Sequence[Line] = (),
        due: float | None = None,
    ) -> str:
        text = to_json(body)
        copies = [_copy(line) for line in lines]
        with self._lock:
            self._enter("save", key)
            row = self._records.get(key)
            if (row.revision if row else None) != unchanged:
                raise Conflict(f"ledger: {key!r} was written by somebody else in the meantime")
            revision = self._revision()
            self._records[key] = _Row(text, revision, due)
            self._lines += copies
            self._leave("save", key)
            return revision

    def due(self, now: float) -> Sequence[str]:
        with self._lock:
            self._enter("due")
            dates = [(row.due, key) for key, row in self._records.items() if row.due is not None]
            found = sorted(date for date in dates if date[0] <= now)
            self._leave("due")
            return [key for _, key in found]

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
        with self._lock:
            self._enter("history", model)
            found = [
                line
                for line in self._lines
                if (model is None or line.model == model)
                and (until is None or line.at <= until)
                and (since is None or line.at >= since)
                and (event is None or line.event == event)
                and (target is None or line.target == target)
            ]
            # Sorting is stable, so lines of the same time keep the order in which they were written.
            found.sort(key=lambda line: line.at)
            if newest_first:
                found.reverse()
            self._leave("history", model)
            return [_copy(line) for line in found[: max(most, 0)]]

    def wipe(self) -> None:
        """Forget every record. The history stays."""
        with self._lock:
            self._records.clear()

    def snapshot(self) -> Snapshot:
        """The state now; rows are never changed in place, so this copies references only."""
        with self._lock:
            return Snapshot(dict(self._records), tuple(self._lines))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to an earlier state; ordered faults and recorded calls stay as they are."""
        with self._lock:
            self._records = dict(snapshot.records)
            self._lines = list(snapshot.lines)

    def _enter(self, verb: str, key: str | None = None) -> None:
        self.calls.append(Call(verb, key))
        self._fault(verb, key, "before")

    def _leave(self, verb: str, key: str | None = None) -> None:
        self._fault(verb, key, "after")

    def _fault(self, verb: str, key: str | None, when: str) -> None:
        # The first fault that fits the call decides whether it strikes now or after the effect.
        for index, fault in enumerate(self.faults):
            if fault.verb == verb and fault.key in (None, key):
                if fault.when == when:
                    del self.faults[index]
                    raise fault.error
                return


def _copy(line: Line) -> Line:
    if line.data is None:
        return line
    return Line(line.at, line.model, line.event, line.target, line.version, line.reason, json.loads(to_json(line.data)))
