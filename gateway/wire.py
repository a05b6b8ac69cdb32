"""Bytes of HTTP answers."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
CODES = {
    400: "BAD_REQUEST",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    500: "INTERNAL_ERROR",
    502: "BAD_GATEWAY",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    507: "RESOURCE_EXHAUSTED",
}
"""Error codes in the style of MLflow's own answers."""


def head(status: int, content_type: bytes, length: int, extra: bytes = b"") -> bytes:
    """Status line and headers without the empty line that ends them."""
    kind = b"content-type: %b\r\n" % content_type if content_type else b""
    return b"HTTP/1.1 %d %b\r\n%bcontent-length: %d\r\n%b" % (
        status,
        REASONS.get(status, b"Unknown"),
        kind,
        length,
        extra,
    )


def error_body(status: int, message: str, code: str | None = None) -> bytes:
    """An error as MLflow's own servers put it."""
    code = code or CODES.get(status) or REASONS.get(status, b"ERROR").decode().upper().replace(" ", "_")
    return json.dumps({"error_code": code, "message": message}).encode()


def json_body(value: Any) -> bytes:
    """Any JSON value."""
    return json.dumps(value).encode()
