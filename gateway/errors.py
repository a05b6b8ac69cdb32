"""What the gateway says when it cannot do as asked."""

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


class Unavailable(Exception):
    """Nothing can answer this request now, with the reason in words."""
