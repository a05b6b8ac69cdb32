from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from watcher.views.times import moment, span

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("90s", NOW - 90),
        ("30m ago", NOW - 1_800),
        ("2h", NOW - 7_200),
        ("1.5 d", NOW - 129_600),
        ("1W", NOW - 604_800),
        ("2026-03-01T02:47Z", datetime(2026, 3, 1, 2, 47, tzinfo=UTC).timestamp()),
        ("2026-03-01 02:47:05+02:00", datetime(2026, 3, 1, 0, 47, 5, tzinfo=UTC).timestamp()),
    ],
)
def test_a_moment_as_people_write_it(text: str, at: float) -> None:
    assert moment(text, NOW) == at


def test_a_moment_without_a_zone_is_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment("2026-03-01T09:00", NOW) == datetime(2026, 3, 1, 0, 0, tzinfo=UTC).timestamp()
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (99.4, "99 s"), (99.6, "2 min"), (900, "15 min"), (12_600, "3.5 h"), (259_200, "3 d")],
)
def test_a_span_keeps_what_matters(seconds: float, text: str) -> None:
    assert span(seconds) == text
