"""A person's pause of the whole watcher: while it lasts, everything is observed and nothing is done."""

from __future__ import annotations

from watcher.errors import Conflict
from watcher.ports import Ledger, Line

KEY = "#pause"
TRIES = 20


def paused(ledger: Ledger) -> bool:
    """Whether a person paused the watcher."""
    stored = ledger.load(KEY)
    return stored is not None and stored.body.get("paused") is True


def set_paused(ledger: Ledger, who: str, on: bool, now: float) -> bool:
    """Pause (`on`) or resume, with a line in the history; `who` is the person's name. False where it already is so.

    Raises Conflict where others kept writing in between.
    """
    for _ in range(TRIES):
        stored = ledger.load(KEY)
        if (stored is not None and stored.body.get("paused") is True) == on:
            return False
        body = {"format": 1, "paused": on, "who": who, "since": now}
        line = Line(now, KEY, "paused" if on else "resumed", data={"who": who})
        try:
            ledger.save(KEY, body, stored.revision if stored else None, [line])
        except Conflict:
            continue
        return True
    raise Conflict(f"the pause was written by others {TRIES} times in a row; try again")
