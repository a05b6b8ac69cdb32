"""Change windows: the hours of a week in a time zone, as a pure function of time. Summer time is the zone's affair."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(WEEK)
DAYS = rf"^({_DAY})(-({_DAY}))?(,({_DAY})(-({_DAY}))?)*$"
TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
FURTHEST = 3_700
"""Days that are looked ahead for an opening."""


def days(value: str) -> str:
    """`mon-thu`, `sat,sun`, `fri-mon`. Raises ValueError for anything else."""
    if not re.fullmatch(DAYS, value):
        raise ValueError("is no days of the week; write such as mon-thu, or mon,wed,fri")
    return value


def time_of_day(value: str) -> str:
    """`09:00`, up to `24:00`. Raises ValueError for anything else."""
    if not re.fullmatch(TIME, value):
        raise ValueError('is no time of the day; write such as "09:00", in quotes, up to "24:00"')
    return value


def zone(value: str) -> str:
    """The name of a time zone. Raises ValueError where this machine knows none of it."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone that is known; write such as UTC or Europe/Amsterdam") from None
    return value


def date(value: object) -> str:
    """`2026-12-21`. Raises ValueError for anything else."""
    text = value.isoformat() if isinstance(value, dt.date) and not isinstance(value, datetime) else value
    try:
        return dt.date.fromisoformat(str(text)).isoformat()
    except ValueError:
        raise ValueError("is no date; write such as 2026-12-21") from None


@dataclass(frozen=True, slots=True)
class Window:
    """Open on some days from one time of the day to another; over midnight where the end is not after the beginning.

    Times are the clock's on the wall. One that a change to summer time leaves out is the moment of the change; one that
    comes twice is the first for opening and the second for closing.
    """

    days: str
    start: str
    end: str
    zone: str
    freezes: tuple[tuple[str, str], ...] = ()
    """First and last day, both included, on which it stays closed."""

    def opens(self, now: float) -> float | None:
        """`now` while it is open, else when it opens next; None where it never does."""
        first = datetime.fromtimestamp(now, ZoneInfo(self.zone)).date() - timedelta(days=1)
        for ahead in range(FURTHEST):
            day = first + timedelta(days=ahead)
            if WEEK[day.weekday()] not in _named(self.days):
                continue
            for begins, ends in self._open_on(day):
                if now < ends:
                    return max(begins, now)
        return None

    def says(self) -> str:
        """`mon-thu 09:00 to 16:00 Europe/Amsterdam`."""
        frozen = f", not {', '.join(f'{first} to {last}' for first, last in self.freezes)}" if self.freezes else ""
        return f"{self.days} {self.start} to {self.end} {self.zone}{frozen}"

    def _open_on(self, day: dt.date) -> list[tuple[float, float]]:
        """What is left, after freezes, of the opening that begins on a day: up to two pieces, in order."""
        over_midnight = self.end <= self.start
        pieces = [(day, self.start, "24:00" if over_midnight else self.end)]
        if over_midnight and self.end != "00:00":
            pieces.append((day + timedelta(days=1), "00:00", self.end))
        return [
            (begins, ends)
            for on, start, end in pieces
            if not any(first <= on.isoformat() <= last for first, last in self.freezes)
            if (begins := self._moment(on, start, fold=0)) < (ends := self._moment(on, end, fold=1))
        ]

    def _moment(self, day: dt.date, at: str, *, fold: int) -> float:
        """A time on the wall of one day as seconds since the epoch."""
        hour, minute = int(at[:2]), int(at[3:])
        if hour == 24:  # noqa: PLR2004 - the end of the day
            day, hour = day + timedelta(days=1), 0
        local = datetime.combine(day, time(hour, minute, fold=fold), ZoneInfo(self.zone))
        moment = local.timestamp()
        back = datetime.fromtimestamp(moment, ZoneInfo(self.zone))
        if (back.hour, back.minute) == (hour, minute):
            return moment
        # Left out by a change of the clock: the moment of the change, which both offsets lead to.
        before = local.replace(fold=0).utcoffset() or timedelta()
        after = local.replace(fold=1).utcoffset() or timedelta()
        gap = abs(after - before)
        naive = datetime.combine(day, time(hour, minute))
        return self._change_within(naive.replace(tzinfo=UTC) - max(before, after), gap)

    def _change_within(self, start: datetime, gap: timedelta) -> float:
        """The moment in the time from `start` over `gap` at which the zone's offset changes, to the second."""
        there = ZoneInfo(self.zone)
        low, high = int(start.timestamp()) - int(gap.total_seconds()), int((start + gap).timestamp())
        offset = datetime.fromtimestamp(low, there).utcoffset()
        while high - low > 1:
            middle = (low + high) // 2
            if datetime.fromtimestamp(middle, there).utcoffset() == offset:
                low = middle
            else:
                high = middle
        return float(high)


def _named(days: str) -> frozenset[str]:
    """The days that a text names."""
    found: set[str] = set()
    for part in days.split(","):
        first, _, last = part.partition("-")
        at, end = WEEK.index(first), WEEK.index(last or first)
        found.update(WEEK[(at + step) % len(WEEK)] for step in range((end - at) % len(WEEK) + 1))
    return frozenset(found)
