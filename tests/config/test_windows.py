"""Change windows as functions of time: days, hours, zones, summer time, midnight, freezes."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.config.windows import WEEK, Window

AMSTERDAM = "Europe/Amsterdam"
OFFICE = Window("mon-thu", "09:00", "16:00", AMSTERDAM)


def at(text: str, zone: str = AMSTERDAM) -> float:
    """`2026-03-29 02:30` on the wall of a zone; with `+02:00` at the end, of that offset."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).timestamp()


OPENS = {
    "inside it is open": (OFFICE, "2026-03-26 10:00", "2026-03-26 10:00"),
    "at its first minute it is open": (OFFICE, "2026-03-26 09:00", "2026-03-26 09:00"),
    "at its last minute it is closed": (OFFICE, "2026-03-26 16:00", "2026-03-30 09:00"),
    "before it opens it waits for the same day": (OFFICE, "2026-03-26 08:59", "2026-03-26 09:00"),
    "over the weekend it waits for the week": (OFFICE, "2026-03-27 17:00", "2026-03-30 09:00"),
    "nine on the wall after the change to summer time": (OFFICE, "2026-03-29 20:00", "2026-03-30 09:00+02:00"),
    "nine on the wall after the change to winter time": (OFFICE, "2026-10-25 20:00", "2026-10-26 09:00+01:00"),
    "a time that is left out is the moment of the change": (
        Window("sun", "02:30", "04:00", AMSTERDAM),
        "2026-03-29 00:00",
        "2026-03-29 03:00+02:00",
    ),
    "a time that comes twice opens at the first": (
        Window("sun", "02:30", "04:00", AMSTERDAM),
        "2026-10-25 00:00",
        "2026-10-25 02:30+02:00",
    ),
    "a time that comes twice closes at the second": (
        Window("sun", "01:00", "02:30", AMSTERDAM),
        "2026-10-25 02:15+01:00",
        "2026-10-25 02:15+01:00",
    ),
    "over midnight it is open on the morning after": (
        Window("fri", "22:00", "02:00", AMSTERDAM),
        "2026-03-28 01:00",
        "2026-03-28 01:00",
    ),
    "over midnight it is closed on the morning before": (
        Window("fri", "22:00", "02:00", AMSTERDAM),
        "2026-03-27 01:00",
        "2026-03-27 22:00",
    ),
    "a freeze keeps it closed": (
        Window("mon-sun", "09:00", "16:00", AMSTERDAM, (("2026-12-21", "2027-01-03"),)),
        "2026-12-24 10:00",
        "2027-01-04 09:00",
    ),
    "a freeze ends what is open over midnight": (
        Window("mon-sun", "22:00", "02:00", AMSTERDAM, (("2026-12-21", "2026-12-21"),)),
        "2026-12-21 00:30",
        "2026-12-22 00:00",
    ),
    "days that go over the end of the week": (
        Window("sat-mon", "00:00", "24:00", "UTC"),
        "2026-03-25 12:00",
        "2026-03-28 00:00+00:00",
    ),
}


@pytest.mark.parametrize("case", sorted(OPENS))
def test_it_opens(case: str) -> None:
    window, now, expected = OPENS[case]
    assert window.opens(at(now)) == at(expected)


def test_a_window_that_is_frozen_for_good_never_opens() -> None:
    assert Window("mon", "09:00", "10:00", "UTC", (("2020-01-01", "2999-12-31"),)).opens(at("2026-03-26")) is None


def test_a_window_says_itself() -> None:
    frozen = Window("mon-thu", "09:00", "16:00", AMSTERDAM, (("2026-12-21", "2027-01-03"),))
    assert OFFICE.says() == "mon-thu 09:00 to 16:00 Europe/Amsterdam"
    assert frozen.says() == "mon-thu 09:00 to 16:00 Europe/Amsterdam, not 2026-12-21 to 2027-01-03"


times = st.sampled_from([f"{hour:02}:{minute:02}" for hour in range(24) for minute in (0, 30)])


@given(
    day=st.sampled_from(WEEK),
    start=times,
    end=times | st.just("24:00"),
    zone=st.sampled_from(["UTC", AMSTERDAM, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    now=st.floats(1.77e9, 1.81e9),
)
def test_when_it_opens_it_is_open_and_not_before(day: str, start: str, end: str, zone: str, now: float) -> None:
    window = Window(day, start, end, zone)
    opens = window.opens(now)
    assert opens is not None
    assert opens >= now
    assert window.opens(opens) == opens
    if opens > now:
        assert window.opens(opens - 0.5) == opens
