"""Several processes that open a new ledger at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from watcher.ledger.sqlite import SqliteLedger


class Slow(sqlite3.Connection):
    """A connection that is overtaken: `meanwhile` happens once, after its query number `after`."""

    after = 0
    meanwhile: Callable[[], object]
    asked = 0

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        cursor = super().execute(sql, parameters)
        Slow.asked += 1
        if Slow.asked == Slow.after:
            cursor = _Held(cursor.fetchall())  # type: ignore[assignment]
            Slow.meanwhile()
        return cursor


class _Held:
    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def fetchone(self) -> Any:
        return self._rows[0]


@pytest.mark.parametrize("after", range(1, 5))
def test_a_ledger_that_another_process_is_just_making_is_opened(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    path = tmp_path / "ledger.db"

    def overtaken(*args: Any, **more: Any) -> sqlite3.Connection:
        monkeypatch.setattr(sqlite3, "connect", connect)
        return connect(*args, factory=Slow, **more)

    made: list[str] = []
    Slow.after, Slow.asked = after, 0
    Slow.meanwhile = lambda: made.append(SqliteLedger(path).save("m", {"by": "the other"}, None))
    monkeypatch.setattr(sqlite3, "connect", overtaken)
    stored = SqliteLedger(path).load("m")
    assert made
    assert stored is not None
    assert (stored.body, stored.revision) == ({"by": "the other"}, made[0])
