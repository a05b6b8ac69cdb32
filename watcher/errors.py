"""The only errors that change what the loop does. Adapters translate by type and status code, never by text."""


class WatcherError(Exception):
    """Base of everything this package raises on purpose."""


class Transient(WatcherError):
    """It may work later: try again, after `retry_after` seconds where the other side said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Terminal(WatcherError):
    """It will never work as asked: repeating the same call is pointless."""


class Conflict(WatcherError):
    """The world is not what the caller had seen. An answer, not a fault: record it and look again."""


class UserError(WatcherError):
    """A mistake of the person at the keyboard: one sentence that names the thing, the value and the remedy."""
