"""Whether the timer still fires: a host can answer requests for days while its timers are dead."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeGuard

from watcher.errors import Conflict, UserError
from watcher.ports import Ledger

KEY = "#heartbeat"
MISSED = 3
"""So many firings in a row without a heartbeat are one too many."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The last firing of the timer."""

    at: float
    until: float | None = None
    """From when on it has missed too many, by the schedule that it had then; None: that is not known."""


def beat(ledger: Ledger, now: float, schedule: str | None = None) -> None:
    """Write down that the timer fired, by this schedule. One that fires twice at once leaves either beat."""
    try:
        until = _firing(schedule, now, MISSED, back=False) if schedule else None
    except UserError:
        until = None  # the health says so
    stored = ledger.load(KEY)
    with contextlib.suppress(Conflict):
        ledger.save(KEY, {"format": 1, "at": now, "until": until}, stored.revision if stored else None)


def last(ledger: Ledger) -> Beat | None:
    """The timer's last firing, None before the first."""
    stored = ledger.load(KEY)
    at, until = (stored.body.get(name) for name in ("at", "until")) if stored else (None, None)
    return Beat(float(at), float(until) if _is_number(until) else None) if _is_number(at) else None


def stale(at: float | None, schedule: str, now: float) -> bool:
    """Whether the heartbeat is older than the last three times at which the schedule had the timer fire.

    `schedule` has five fields, or six with the seconds first, in UTC. Raises UserError where it is no schedule.
    """
    return at is None or at < _firing(schedule, now, MISSED, back=True)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _firing(schedule: str, now: float, count: int, *, back: bool) -> float:
    """The time of the firing so many before or after now."""
    from cronsim import CronSim, CronSimError

    try:
        firings = CronSim(schedule, datetime.fromtimestamp(now, UTC), reverse=back)
        return [next(firings).timestamp() for _ in range(count)][-1]
    except CronSimError as error:
        raise UserError(
            f"the schedule {schedule!r} cannot be read ({error}): write six fields, seconds first, such as"
            " '0 * * * * *' for every minute"
        ) from None
    except StopIteration:
        return float("-inf") if back else float("inf")
