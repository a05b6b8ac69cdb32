"""Bodies and signatures of webhooks, read as what a stranger may have sent."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from typing import Any

log = logging.getLogger("watcher")

MOST = 1_048_576
"""Bytes of a body. MLflow's largest event carries a description and tags."""


UNRESOLVED = "@microsoft.keyvault("
"""How the value of an app setting begins whose reference to a Key Vault could not be resolved."""


def usable(secrets: str) -> list[str]:
    """The secrets of a setting, separated by spaces. A reference is none: anybody may guess what it says."""
    if UNRESOLVED in secrets.lower():
        log.error("a webhook's secret refers to a Key Vault and could not be read there: the webhook is off")
        return []
    return secrets.split()


def digest(secret: str, content: bytes) -> bytes:
    """HMAC with SHA-256 (RFC 2104)."""
    return hmac.new(secret.encode(), content, hashlib.sha256).digest()


def parsed(body: bytes) -> Any:
    """The body as JSON, None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def text(value: object) -> str | None:
    """The value where it is a text with something in it."""
    return value if isinstance(value, str) and value else None
