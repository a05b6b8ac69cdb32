"""What the gateway says when it cannot do as asked."""


class GatewayError(Exception):
    """One sentence for the person at the keyboard."""


class Refused(Exception):
    """An answer to an admin request: HTTP status and one sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class StartFailed(Exception):
    """A release that did not become ready, with the reason in words."""


class Unavailable(Exception):
    """Nothing can answer this request now, with the reason in words."""
