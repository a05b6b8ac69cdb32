"""Webhooks of a Databricks workspace registry: signed, without a time. A replay is a wake-up at most, and seldom one.

The signature is the hex digest of HMAC-SHA256 over the body. Unity Catalog sends none.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from watcher.hosted.webhooks import answers
from watcher.hosted.webhooks.answers import Answer
from watcher.hosted.webhooks.bodies import MOST, digest, parsed, text, usable
from watcher.hosted.webhooks.seen import Seen

SECRET = "WATCHER_DATABRICKS_WEBHOOK_SECRET"  # noqa: S105 the name of the setting, not what it holds


def take(headers: Mapping[str, str], body: bytes, secrets: str, seen: Seen, now: float) -> Answer:
    """The answer to one delivery, arguments as in `webhooks.mlflow`."""
    valid = usable(secrets)
    if not valid:
        return answers.NOT_CONFIGURED
    if len(body) > MOST:
        return answers.TOO_LARGE
    given = headers.get("x-databricks-signature", "").lower().encode("utf-8", "replace")
    if not sum(hmac.compare_digest(given, digest(secret, body).hex().encode()) for secret in valid):
        return answers.FORGED
    event = parsed(body)
    name = text(event.get("model_name")) if isinstance(event, dict) else None
    if name is None:
        return answers.MALFORMED
    if not seen.take(given, now):
        return answers.REPEATED
    return Answer(202, "", (name,))
