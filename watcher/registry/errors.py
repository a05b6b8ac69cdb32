"""MLflow's errors as the three that the loop knows: by type, error code and status, never by text."""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from watcher.errors import Terminal, Transient, WatcherError
from watcher.registry.dialects import MLFLOW
from watcher.text import SHORTEST_SECRET, plain, secret_values, without_secrets

LONGEST_DETAIL = 300
LONGEST_TRIED = 2_000
"""Characters of what was tried: names of models and metrics are in it, as others wrote them."""

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
_NO_TOKEN = frozenset({"ClientAuthenticationError"})
_DATABASE_MAY_RECOVER = frozenset({
    "DisconnectionError", "IntegrityError", "InterfaceError", "InternalError", "OperationalError", "TimeoutError",
})  # fmt: skip


_DRIVERS = {
    "psycopg": ("psycopg[binary]", "; where psycopg2 is installed instead, write postgresql+psycopg2://"),
    "psycopg2": ("psycopg2-binary", "; where psycopg 3 is installed instead, write postgresql+psycopg://"),
    "MySQLdb": ("mysqlclient", "; where PyMySQL is installed instead, write mysql+pymysql://"),
}
"""Module -> the package that has it, and the way around."""


class Absent(Terminal):
    """The registry said that the thing does not exist. Stays inside the adapter, which knows what that means."""


def place(uri: str) -> str:
    """Where a URI points to, fit to be shown: no user, no password, no query, nothing invisible."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "a URI that cannot be read"
    return plain(f"{parts.scheme}://{host}{port}{parts.path}" if parts.scheme else parts.path, LONGEST_DETAIL)


def secrets_of(environ: Mapping[str, str], *uris: str) -> tuple[str, ...]:
    """What must not be shown of what a server or a driver says: secrets of the environment and inside the URIs.

    As they are written, decoded, and as HTTP sends them. The longest first.
    """
    found = set(secret_values(environ))
    users = [(environ.get("MLFLOW_TRACKING_USERNAME", ""), environ.get("MLFLOW_TRACKING_PASSWORD", ""))]
    for uri in uris:
        scheme, _, rest = uri.partition("://")
        user, _, password = rest.partition("/")[0].rpartition("@")[0].partition(":")
        found |= {password, unquote(password)}
        if scheme.startswith("http") and not password and len(user) >= SHORTEST_SECRET:
            found |= {user, unquote(user)}  # a token
        users.append((unquote(user), unquote(password)))
    sent = {b64encode(f"{user}:{password}".encode("utf-8", "surrogatepass")).decode() for user, password in users}
    return tuple(sorted((found | sent) - {"", b64encode(b":").decode()}, key=len, reverse=True))


def scrub(text: str, secrets: tuple[str, ...] = ()) -> str:
    """One short printable line without credentials."""
    return plain(without_secrets(text, secrets), LONGEST_DETAIL)


@contextmanager
def translated(doing: str, where: str, secrets: tuple[str, ...] = (), sign_in: str = MLFLOW.sign_in) -> Iterator[None]:
    """Raise `Transient`, `Terminal` or `Absent` for whatever MLflow and what lies beneath it raise."""
    try:
        yield
    except WatcherError:
        raise
    except Exception as error:  # noqa: BLE001 - a port raises nothing but our own errors
        raise translate(error, doing, where, secrets, sign_in=sign_in) from None


def translate(
    error: Exception,
    doing: str,
    where: str,
    secrets: tuple[str, ...] = (),
    *,
    setting: str = "`registry.uri`",
    sign_in: str = MLFLOW.sign_in,
) -> WatcherError:
    """The error of ours that stands for `error`, told in one sentence; its remedy is `setting` or `sign_in`."""
    code = getattr(error, "error_code", None)
    reason = _beneath(error)
    said = scrub(str(error), secrets)
    tried = plain(f"could not {doing} at {where}", LONGEST_TRIED)
    if code == _MISSING:
        return Absent(f"{tried}: it does not exist ({said})")
    if code in _REFUSED or _status(error) in {401, 403}:
        return Terminal(f"{tried}: access refused; check {sign_in} and what that account may do ({said})")
    if driver := next((found for found in _chain(error) if isinstance(found, ModuleNotFoundError)), None):
        return Terminal(f"{tried}: {_missing(driver.name or 'a module', setting)}")
    if _names(reason) & _CONFIGURED_WRONG or _names(error) & _CONFIGURED_WRONG:
        return Terminal(f"{tried}: check registry.uri and its driver ({said})")
    if _NO_TOKEN & (_names(error) | _names(reason)):
        # An identity that is missing and a token service that hiccups cannot be told apart.
        return Transient(f"{tried}: no token; check {sign_in} ({said})")
    if code in _NEVER and not _database_may_recover(reason):
        return Terminal(f"{tried}: {code} ({said})")
    why = _unreached(error, where, setting) or f"{code or type(error).__name__} ({said})"
    return Transient(f"{tried}: {why}", retry_after=_retry_after(reason))


def _missing(module: str, setting: str) -> str:
    """What to do about a module that is not installed, of a database's driver with the package that has it."""
    package, other = _DRIVERS.get(module, (module, ""))
    return f"the module {module} is not installed: `pip install '{package}'`, or correct {setting}{other}"


def _unreached(error: BaseException, where: str, setting: str) -> str | None:
    """Why there was no connection and what to do, None where there was one or nobody knows."""
    address = urlsplit(where).netloc or where
    for found in _chain(error):
        if isinstance(found, ConnectionRefusedError):
            return f"nothing listens at {address}: start the server, or correct {setting}"
        if isinstance(found, socket.gaierror):
            return f"no host {address.partition(':')[0]} is known: correct {setting}, or look after the name service"
        if "ConnectTimeout" in _names(found):
            return f"{address} does not answer: start the server, or correct {setting}"
        if "ReadTimeoutError" in _names(found):
            return f"{address} took the request and did not answer in time: look after the server"
        if "ResponseError" in _names(found):
            # What urllib3 says after its own tries; around it stands a URL so long that this would be cut off.
            return f"{address} answers with nothing but errors, {scrub(str(found))}: look after the server"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it came from: libraries keep causes as attributes and arguments too."""
    waiting, seen = [error], set[int]()
    while waiting:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        beneath = (found.__cause__, found.__context__, getattr(found, "reason", None), *found.args)
        waiting += [each for each in beneath if isinstance(each, BaseException)]


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
