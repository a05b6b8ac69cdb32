"""The workspace client of a target, and its errors as the three that the loop knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from watcher.errors import Conflict, Terminal, Transient, UserError, WatcherError
from watcher.text import plain, secret_values, without_secrets

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.clock import Clock

CALL = 10.0
"""Seconds for one request."""
PATIENCE = 12
"""Seconds in which the SDK tries a throttled request again."""
AGAIN = 15.0
"""Seconds after which an endpoint or job that is being changed is looked at again."""
REFUSED = 300.0
"""Seconds after which it is tried again with credentials that were refused: a person has to change something."""
MOST_DETAIL = 300

Connect = Callable[[Mapping[str, Any]], "WorkspaceClient"]


def connect(settings: Mapping[str, Any], patience: int = PATIENCE) -> WorkspaceClient:
    """A client for `host` and `profile` of the settings, else for what the environment says (unified auth).

    Secrets come from the environment, a profile or a managed identity; the settings name none.
    """
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.core import Config

    config = Config(
        host=settings.get("host"),
        profile=settings.get("profile"),
        http_timeout_seconds=CALL,
        retry_timeout_seconds=patience,
        clock=_clock(patience),
        product="mlflow-registry-watcher",
        product_version="0.0.0",
    )
    return WorkspaceClient(config=config)


def _clock(patience: float) -> Clock:
    """The SDK sleeps for as long as a busy workspace wishes; by this clock nothing sleeps longer than `patience`."""
    from databricks.sdk.clock import RealClock

    class Impatient(RealClock):
        def sleep(self, seconds: float) -> None:
            if seconds > patience:
                raise Transient(f"Databricks is busy and asks to be left alone for {seconds:.0f} s.", seconds)
            super().sleep(seconds)

    return Impatient()


class Workspaces:
    """One client for each workspace, made when it is first needed."""

    def __init__(self, connect: Connect = connect) -> None:
        self._connect = connect
        self._clients: dict[tuple[Any, Any], WorkspaceClient] = {}

    def of(self, settings: Mapping[str, Any]) -> WorkspaceClient:
        key = (settings.get("host"), settings.get("profile"))
        if key not in self._clients:
            with translated("sign in to the workspace"):
                self._clients[key] = self._connect(settings)
        return self._clients[key]


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise `Transient`, `Terminal` or `Conflict` for whatever the SDK and what lies beneath it raise.

    Credentials and rights that are refused are `Transient`: people mend them, and no version is to blame.
    """
    try:
        yield
    except WatcherError:
        raise
    except Exception as error:  # noqa: BLE001 - a port raises nothing but our own errors
        raise _ours(error, doing) from None


def absent(error: Exception) -> bool:
    """Whether the workspace said that the thing does not exist."""
    from databricks.sdk import errors

    return isinstance(error, errors.NotFound)


def _ours(error: Exception, doing: str) -> WatcherError:
    from databricks.sdk import errors

    said = plain(without_secrets(str(error), secret_values(os.environ)), MOST_DETAIL)
    tried = f"Could not {doing}"
    wish = getattr(error, "retry_after_secs", None)
    if isinstance(error, errors.Unauthenticated | errors.PermissionDenied):
        return Transient(
            f"{tried}: Databricks refuses it; check who signs in and what that one may do ({said})", REFUSED
        )
    if isinstance(error, errors.ResourceConflict | errors.Aborted | errors.NotFound):
        return Conflict(f"{tried}: {type(error).__name__} ({said})")
    if isinstance(error, errors.TooManyRequests | errors.TemporarilyUnavailable | errors.InternalError):
        return Transient(f"{tried}: {type(error).__name__} ({said})", wish)
    if isinstance(error, errors.BadRequest | errors.NotImplemented):
        return Terminal(f"{tried}: {type(error).__name__} ({said})")
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return Transient(
            f"{tried}: no usable sign-in; set DATABRICKS_HOST and credentials, or `profile` ({said})", REFUSED
        )
    return Transient(f"{tried}: {type(error).__name__} ({said})", wish)


def text_of(settings: Mapping[str, Any], key: str, kind: str) -> str:
    """A setting that must be text. Raises UserError where it is not there."""
    value = settings.get(key)
    if not isinstance(value, str) or not value:
        raise UserError(f"A target of kind {kind} needs `{key}`, a text, not {plain(value)!r}.")
    return value
