"""The only errors that change what the loop does. Adapters translate by type and status code, never by text."""

from __future__ import annotations

from watcher.text import without_secrets

LONGEST_WISH = 3_600.0
"""Seconds: the most that the other side's wish to be left alone counts for."""


class WatcherError(Exception):
    """Base of everything this package raises on purpose.

    Messages are shown, logged and kept in the history, and some repeat what another side said: whatever looks like a
    credential is taken out of them here, whoever raises.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(without_secrets(str(message)))


class Transient(WatcherError):
    """It may work later: try again, after `retry_after` seconds (an hour at most) where the other side said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = None if retry_after is None else min(retry_after, LONGEST_WISH)


class UnderWay(Transient):
    """It is accepted and goes on, and the same call takes it further: no failure, and not counted as one."""


class Terminal(WatcherError):
    """It will never work as asked: repeating the same call is pointless."""


class Conflict(WatcherError):
    """The world is not what the caller had seen. An answer, not a fault: record it and look again."""


class UserError(WatcherError):
    """A mistake of the person at the keyboard: one sentence that names the thing, the value and the remedy."""
