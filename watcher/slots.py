"""How many models may roll out at once: a list of holders in the ledger, changed by compare-and-set only."""

from __future__ import annotations

from collections.abc import Callable

from watcher.errors import Conflict
from watcher.ports import Ledger, Stored

KEY = "#slots"
TRIES = 20


def take(ledger: Ledger, model: str, limit: int) -> bool:
    """Take a slot for `model`; True where it has one now, also where it had one before. False where all are taken.

    Raises Conflict where others kept writing in between.
    """

    def more(held: tuple[str, ...]) -> tuple[str, ...]:
        return held if model in held or len(held) >= limit else (*held, model)

    return model in _change(ledger, more)


def free(ledger: Ledger, model: str) -> None:
    """Give the slot of `model` back; harmless where it has none. Raises Conflict as `take` does."""
    _change(ledger, lambda held: tuple(name for name in held if name != model))


def holders(ledger: Ledger) -> tuple[str, ...]:
    """The models that have a slot, the longest holder first."""
    return _held(ledger.load(KEY))


def _change(ledger: Ledger, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> tuple[str, ...]:
    for _ in range(TRIES):
        stored = ledger.load(KEY)
        held = _held(stored)
        wanted = change(held)
        if wanted == held:
            return held
        try:
            ledger.save(KEY, {"format": 1, "held": list(wanted)}, stored.revision if stored else None)
        except Conflict:
            continue
        return wanted
    raise Conflict(f"the rollout slots were written by others {TRIES} times in a row; look again")


def _held(stored: Stored | None) -> tuple[str, ...]:
    """A record that cannot be read counts as empty: who rolls out takes its slot again at its next wake-up."""
    held = stored.body.get("held") if stored else None
    return tuple(name for name in held if isinstance(name, str)) if isinstance(held, list) else ()
