"""What the gateway says when it cannot do as asked."""

from __future__ import annotations

from pathlib import Path

PORT_TAKEN = "PORT_TAKEN"
OTHER_OWNER = "OTHER_OWNER"
OTHER_IDENTITY = "OTHER_IDENTITY"
CHANGED = "CHANGED"
NOT_READY = "NOT_READY"
LIVE = "LIVE"
"""Codes of the answers with status 409."""


class GatewayError(Exception):
    """One sentence for the person at the keyboard."""


class Refused(Exception):
    """An answer to an admin request: HTTP status, one sentence, and a code where programs must tell answers apart."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


class StartFailed(Exception):
    """A release that did not become ready, with the reason in words."""


class StartDied(StartFailed):
    """The process ended without a word while it started: that says less about the model than an error it gives."""


class NoRoom(StartFailed):
    """The disk is full, with the system's words: it says nothing about the release, and ends once there is room."""


def no_room(home: Path, why: str) -> str:
    """What a person is told about a full disk."""
    return (
        f"The disk of the gateway in {home} takes no more ({why}); what serves goes on serving, and what needs room is"
        " tried again."
    )


class Unavailable(Exception):
    """Nothing can answer this request now, with the reason in words."""
