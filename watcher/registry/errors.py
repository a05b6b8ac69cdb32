"""MLflow's errors as the three that the loop knows: by type, error code and status, never by text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from watcher.errors import Terminal, Transient, WatcherError
from watcher.text import plain

LONGEST_DETAIL = 300

_MISSING = "RESOURCE_DOES_NOT_EXIST"
_NEVER = frozenset({
    "INVALID_PARAMETER_VALUE", "BAD_REQUEST", "ENDPOINT_NOT_FOUND", "NOT_FOUND", "NOT_IMPLEMENTED", "FEATURE_DISABLED",
    "RESOURCE_ALREADY_EXISTS", "INVALID_STATE",
})  # fmt: skip
_REFUSED = frozenset({"PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED"})

# By class name, so that neither requests nor SQLAlchemy has to be installed or imported to ask.
_CONFIGURED_WRONG = frozenset({
    "ArgumentError", "InvalidSchema", "InvalidURL", "MissingSchema", "ModuleNotFoundError", "NoSuchModuleError",
    "UnsupportedModelRegistryStoreURIException",
})  # fmt: skip
_DATABASE_MAY_RECOVER = frozenset({
    "DisconnectionError", "IntegrityError", "InterfaceError", "InternalError", "OperationalError", "TimeoutError",
})  # fmt: skip


class Absent(Terminal):
    """The registry said that the thing does not exist. Stays inside the adapter, which knows what that means."""


def place(uri: str) -> str:
    """Where a URI points to, fit to be shown: no user, no password, no query."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "a URI that cannot be read"
    if not parts.scheme:
        return parts.path
    return f"{parts.scheme}://{host}{port}{parts.path}"


def secrets_of(*uris: str) -> tuple[str, ...]:
    """Passwords inside the URIs, as written and decoded."""
    found = set()
    for uri in uris:
        userinfo, at, _ = uri.partition("://")[2].partition("/")[0].rpartition("@")
        password = userinfo.partition(":")[2] if at else ""
        found |= {password, unquote(password)}
    return tuple(sorted(found - {""}, key=len, reverse=True))


def scrub(text: str, secrets: tuple[str, ...] = ()) -> str:
    """One short printable line without credentials."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = re.sub(r"(//)[^/@\s]+@", r"\1***@", text)
    text = re.sub(r"(?i)\b(password|passwd|token|secret|signature|sig|credential)=[^&\s'\"]+", r"\1=***", text)
    return plain(text, LONGEST_DETAIL)


@contextmanager
def translated(doing: str, where: str, secrets: tuple[str, ...] = ()) -> Iterator[None]:
    """Raise `Transient`, `Terminal` or `Absent` for whatever MLflow and what lies beneath it raise."""
    try:
        yield
    except WatcherError:
        raise
    except Exception as error:  # noqa: BLE001 - a port raises nothing but our own errors
        raise translate(error, doing, where, secrets) from None


def translate(error: Exception, doing: str, where: str, secrets: tuple[str, ...] = ()) -> WatcherError:
    """The error of ours that stands for `error`, told in one sentence."""
    code = getattr(error, "error_code", None)
    reason = _beneath(error)
    said = scrub(str(error), secrets)
    tried = f"could not {doing} at {where}"
    if code == _MISSING:
        return Absent(f"{tried}: it does not exist ({said})")
    if code in _REFUSED or _status(error) in {401, 403}:
        return Terminal(
            f"{tried}: access refused; check MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and "
            f"MLFLOW_TRACKING_PASSWORD, and what that account may do ({said})"
        )
    if _names(reason) & _CONFIGURED_WRONG or _names(error) & _CONFIGURED_WRONG:
        return Terminal(f"{tried}: check registry.uri and its driver ({said})")
    if code in _NEVER and not _database_may_recover(reason):
        return Terminal(f"{tried}: {code} ({said})")
    return Transient(f"{tried}: {code or type(error).__name__} ({said})", retry_after=_retry_after(reason))


def _beneath(error: BaseException) -> BaseException:
    """What made MLflow raise: it chains some causes and leaves others to the context."""
    return error.__cause__ or error.__context__ or error


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _database_may_recover(error: BaseException) -> bool:
    # MLflow turns lost connections and lost races into BAD_REQUEST.
    if not type(error).__module__.startswith("sqlalchemy"):
        return False
    return bool(getattr(error, "connection_invalidated", False) or _names(error) & _DATABASE_MAY_RECOVER)


def _status(error: BaseException) -> int | None:
    """HTTP status of the SDKs beneath: requests, Azure, Google; botocore keeps it in a mapping."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        response = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    for status in (getattr(error, "status_code", None), getattr(response, "status_code", response)):
        if isinstance(status, int):
            return status
    return None


def _retry_after(error: BaseException) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = headers.get("Retry-After", "") if hasattr(headers, "get") else ""
    return float(value) if isinstance(value, str) and value.isdecimal() and len(value) < 6 else None  # noqa: PLR2004
