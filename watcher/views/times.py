"""Moments and durations, as a person writes and reads them."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo

from watcher.errors import UserError
from watcher.sentences import stamp
from watcher.text import plain

UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])(?:\s+ago)?", re.IGNORECASE)


def moment(text: str, now: float, zone: tzinfo | None = None) -> float:
    """`2026-03-01T02:47`, a date, `2h` or `2h ago`, `now`; seconds since the epoch.

    A time that names no zone is one of `zone` (None: local). Raises UserError for anything else, and for a moment that
    has not come yet.
    """
    given = text.strip()
    ago = _AGO.fullmatch(given)
    if given.lower() == "now":
        return now
    back = float(ago[1]) * UNITS[ago[2].lower()] if ago else float("inf")
    if back <= now:
        at = now - back
    else:
        try:
            read = datetime.fromisoformat(given)
            at = (read if read.tzinfo else read.replace(tzinfo=zone)).timestamp()
        except (ValueError, OverflowError, OSError):
            raise UserError(
                f"{plain(text)!r} is no moment; write 2026-03-01T14:30 ({zone or 'local time'}), 2026-03-01T14:30Z, or"
                " 2h (ago)."
            ) from None
    if at > now:
        raise UserError(f"{plain(text)!r} has not come yet; name a moment before {stamp(now)}.")
    return at


def span(seconds: float) -> str:
    """`12 s`, `14 min`, `3.5 h`, `2 d`."""
    if seconds < 99.5:  # noqa: PLR2004 shown as `99 s` at most
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.3g} h" if seconds < 48 * 3_600 else f"{seconds / 86_400:.3g} d"


def when(at: float, now: float) -> str:
    """`2026-03-01 02:47:05 UTC, in 12 s`."""
    return f"{stamp(at)}, {'in ' + span(at - now) if at > now else 'now'}"
