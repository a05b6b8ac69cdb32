"""JSON as every ledger writes and reads it."""

from __future__ import annotations

import json
from typing import Any

from watcher.errors import Terminal


def to_json(value: object) -> str:
    """Text of a JSON value in plain ASCII. Raises Terminal for anything that is not one."""
    try:
        return json.dumps(value, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise Terminal(f"ledger: the value cannot be written as JSON: {error}") from error


def to_object(text: str, otherwise: dict[str, Any] | None = None) -> dict[str, Any]:
    """The object that the text holds; `otherwise`, by default an empty one, where it holds none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else otherwise or {}
