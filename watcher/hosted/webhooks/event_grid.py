"""Event Grid's deliveries of Azure ML's `ModelRegistered`, in its own schema and as CloudEvents 1.0.

Who may call is the host's own business: a function key in the address of the subscription, or Entra.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from watcher.hosted.webhooks import answers
from watcher.hosted.webhooks.answers import Answer
from watcher.hosted.webhooks.bodies import MOST, parsed, text

REGISTERED = "Microsoft.MachineLearningServices.ModelRegistered"
VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
ORIGIN = "eventgrid.azure.net"
MOST_EVENTS = 1_000
_SUBJECT = re.compile(r"models/(?P<name>[^/:]+)(:.*)?")


def handshake(headers: Mapping[str, str]) -> Answer:
    """The answer to the OPTIONS request with which CloudEvents asks for leave to send (headers in lower case)."""
    origin = headers.get("webhook-request-origin", "")
    if origin != ORIGIN:
        return Answer(400, f"only {ORIGIN} may send")
    return Answer(200, "", headers={"WebHook-Allowed-Origin": ORIGIN, "WebHook-Allowed-Rate": "120"})


def take(body: bytes) -> Answer:
    """The answer to one delivery of one or more events."""
    if len(body) > MOST:
        return answers.TOO_LARGE
    given = parsed(body)
    events = given if isinstance(given, list) else [given]
    if not events or len(events) > MOST_EVENTS or not all(isinstance(event, dict) for event in events):
        return answers.MALFORMED
    for event in events:
        code = text(_data(event).get("validationcode"))
        if event.get("eventType") == VALIDATION and code is not None:
            return Answer(200, json={"validationResponse": code})
    names = [_model(event) for event in events if REGISTERED in (event.get("eventType"), event.get("type"))]
    # Anything but success is delivered again: events of other kinds are taken, and mean nothing.
    return Answer(202, "", tuple(dict.fromkeys(name for name in names if name is not None)))


def _model(event: dict[str, Any]) -> str | None:
    """The model's name from the data, whose keys differ in case between the schemas, else from the subject."""
    found = _SUBJECT.fullmatch(text(event.get("subject")) or "")
    return text(_data(event).get("modelname")) or (found["name"] if found else None)


def _data(event: dict[str, Any]) -> dict[str, Any]:
    data = event.get("data")
    return {str(key).lower(): value for key, value in data.items()} if isinstance(data, dict) else {}
