"""Webhooks of MLflow's own server: signed, with a time and an id of the delivery.

The signature is `v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`, as MLflow 3.15 sends it and Standard
Webhooks describes it. Retries of one delivery repeat its id and its time.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence

from watcher.hosted.webhooks import answers
from watcher.hosted.webhooks.answers import Answer
from watcher.hosted.webhooks.bodies import MOST, digest, parsed, text, usable
from watcher.hosted.webhooks.seen import Seen

SECRET = "WATCHER_MLFLOW_WEBHOOK_SECRET"  # noqa: S105 the name of the setting, not what it holds
TOLERANCE = 300.0
"""Seconds between the sender's clock and ours. MLflow's own retries end within 40 s, delays included."""
MOST_SIGNATURES = 4
LONGEST = 200
"""Characters of the id of a delivery; MLflow's has 36."""
TELLING = frozenset({"registered_model", "model_version", "model_version_tag", "model_version_alias"})


def take(headers: Mapping[str, str], body: bytes, secrets: str, seen: Seen, now: float) -> Answer:
    """The answer to one delivery; `headers` in lower case.

    `secrets` are separated by spaces, so that a new one can be valid before the old one ends.
    """
    valid = usable(secrets)
    if not valid:
        return answers.NOT_CONFIGURED
    if len(body) > MOST:
        return answers.TOO_LARGE
    delivery, stamp = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp", "")
    if not _signed(headers.get("x-mlflow-signature", ""), delivery, stamp, body, valid):
        return answers.FORGED
    if not stamp.isascii() or not stamp.isdecimal() or abs(now - int(stamp[:20])) > TOLERANCE:
        return answers.STALE
    name = _model(parsed(body))
    if name is None:
        return answers.MALFORMED
    if not seen.take(delivery.encode(), now):
        return answers.REPEATED
    return Answer(202, "", (name,) if name else ())


def _signed(signatures: str, delivery: str, stamp: str, body: bytes, secrets: Sequence[str]) -> bool:
    if not 0 < len(delivery) <= LONGEST or not delivery.isascii() or not 0 < len(stamp) <= LONGEST:
        return False
    content = b".".join((delivery.encode(), stamp.encode("utf-8", "replace"), body))
    given = [part[3:].encode("utf-8", "replace") for part in signatures.split() if part.startswith("v1,")]
    wanted = [base64.b64encode(digest(secret, content)) for secret in secrets]
    # All are compared, so that the time tells nothing.
    return sum(hmac.compare_digest(one, right) for one in given[:MOST_SIGNATURES] for right in wanted) > 0


def _model(event: object) -> str | None:
    """The model that an event is about, an empty text for one that is about something else, None for no event."""
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict) or text(event.get("entity")) is None:
        return None
    if event["entity"] not in TELLING:
        return ""
    return text(event["data"].get("name"))
