"""What a webhook is answered."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers of the answer, and the models to wake (as the sender names them)."""

    status: int
    text: str = ""
    models: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    json: dict[str, str] | None = None


NOT_CONFIGURED = Answer(404, "not configured")
TOO_LARGE = Answer(413, "too large")
FORGED = Answer(401, "signature does not match")
STALE = Answer(401, "timestamp is too old or too new")
MALFORMED = Answer(400, "not an event")
REPEATED = Answer(409, "delivered before")
