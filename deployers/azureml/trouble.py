"""What Azure's SDKs raise as the three errors that the loop knows: by type and status, never by text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from watcher.errors import Conflict, Terminal, Transient, WatcherError
from watcher.text import plain, without_secrets

MOST = 500
"""Characters of what Azure said."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_CHANGED = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})


class Absent(Conflict):
    """Azure said that the thing does not exist."""


class Busy(Transient):
    """The endpoint is changing, or was until a moment ago, and takes no other change meanwhile."""


class Refused(Terminal):
    """A 400: wrong for good, or only while the endpoint is changing; who asked looks which of the two."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise only our own errors; `doing` completes "could not"."""
    try:
        yield
    except WatcherError:
        raise
    except Exception as error:  # noqa: BLE001 - a port raises nothing but our own errors
        raise translate(error, doing) from None


def translate(error: Exception, doing: str) -> WatcherError:
    """The error of ours that stands for one of azure-core, azure-identity, azure-ai-ml or requests."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

    tried = f"could not {doing}"
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if isinstance(error, HttpResponseError) and status is not None:
        return of_status(status, f"{tried}: {_said(error)}", _headers(error))
    if isinstance(error, ClientAuthenticationError):
        # No token: an identity that is missing, or a token service that hiccups; the two cannot be told apart.
        return Transient(
            f"{tried}: no token for Azure; sign in with `az login`, or give this host a managed identity"
            f" ({_text(error)})"
        )
    if isinstance(error, AzureError | OSError):
        return Transient(f"{tried}: {type(error).__name__} ({_text(error)})")
    return Terminal(f"{tried}: {_text(error)}")


def of_status(status: int, sentence: str, headers: Mapping[str, str]) -> WatcherError:
    """The error that an HTTP status stands for."""
    if status == HTTPStatus.NOT_FOUND:
        return Absent(sentence)
    if status in _CHANGED:
        return Conflict(sentence)
    if status == HTTPStatus.UNAUTHORIZED:
        return Transient(f"{sentence}; the token was not accepted")
    if status == HTTPStatus.FORBIDDEN:
        return Terminal(f"{sentence}; the identity lacks a role: `watcher check` names it")
    if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Transient(sentence, _retry_after(headers))
    if status == HTTPStatus.BAD_REQUEST:
        return Refused(sentence)
    return Terminal(sentence)


def failure(error: object) -> str:
    """`ResourceNotReady: …` of an error object as ARM writes them, the innermost codes included."""
    if not isinstance(error, Mapping):
        return ""
    parts = [f"{error.get('code') or 'Error'}: {error.get('message') or ''}".strip()]
    details = error.get("details")
    parts += [failure(each) for each in details[:3]] if isinstance(details, list) else []
    return shown(" ".join(filter(None, parts)))


def codes(error: object) -> set[str]:
    """All codes of such an error, or of one as the run history of Azure ML writes them."""
    if not isinstance(error, Mapping):
        return set()
    details = error.get("details")
    inner = [error.get("innerError"), *(details if isinstance(details, list) else ())]
    return {str(error.get("code") or "")}.union(*map(codes, inner))


def shown(text: object) -> str:
    """One short printable line of what Azure said, without colours and secrets."""
    return plain(without_secrets(_COLOURS.sub("", str(text))), MOST)


def _said(error: Any) -> str:
    inner = getattr(error, "error", None)
    if inner is not None and (inner.code or inner.message):
        return failure(
            {
                "code": inner.code,
                "message": inner.message,
                "details": [{"code": each.code, "message": each.message} for each in inner.details or ()],
            }
        )
    return f"{error.status_code} ({_text(error)})"


def _text(error: object) -> str:
    return shown(error).strip() or type(error).__name__


def _headers(error: Any) -> Mapping[str, str]:
    return getattr(error.response, "headers", None) or {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    for name, unit in (("x-ms-retry-after-ms", 0.001), ("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        value = headers.get(name, "")
        if value.isdecimal() and len(value) < 9:  # noqa: PLR2004 - longer is no pause that anybody means
            return int(value) * unit
    return None
