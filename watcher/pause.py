"""A person's pause of the whole watcher: while it lasts, everything is observed and nothing is done."""

from __future__ import annotations

from dataclasses import dataclass

from watcher.errors import Conflict
from watcher.ports import Ledger, Line

KEY = "#pause"
TRIES = 20
UNTIL_RESUMED = 0.0
"""When a model is due that was woken in a pause: long ago, so at once when it ends, and told apart from every other."""


@dataclass(frozen=True, slots=True)
class Pause:
    """What a person said last: pause or go on, who, and when (seconds since the epoch)."""

    on: bool = False
    who: str = ""
    since: float = 0.0

    @property
    def line(self) -> Line:
        """How it stands in the history."""
        return Line(self.since, KEY, "paused" if self.on else "resumed", data={"who": self.who})


def last(ledger: Ledger) -> Pause:
    """What a person said last; who never said anything has not paused."""
    stored = ledger.load(KEY)
    if stored is None:
        return Pause()
    who, since = stored.body.get("who"), stored.body.get("since")
    return Pause(
        stored.body.get("paused") is True,
        who if isinstance(who, str) else "",
        float(since) if isinstance(since, int | float) else 0.0,
    )


def paused(ledger: Ledger) -> bool:
    """Whether a person paused the watcher."""
    return last(ledger).on


def set_paused(ledger: Ledger, who: str, on: bool, now: float) -> bool:
    """Pause (`on`) or resume, with a line in the history; `who` is the person's name. False where it already is so.

    Raises Conflict where others kept writing in between.
    """
    for _ in range(TRIES):
        stored = ledger.load(KEY)
        if (stored is not None and stored.body.get("paused") is True) == on:
            return False
        body = {"format": 1, "paused": on, "who": who, "since": now}
        try:
            ledger.save(KEY, body, stored.revision if stored else None, [Pause(on, who, now).line])
        except Conflict:
            continue
        return True
    raise Conflict(f"the pause was written by others {TRIES} times in a row; try again")
