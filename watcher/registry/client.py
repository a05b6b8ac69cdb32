"""The MLflow client: made at the first call, kept quiet, and never waiting for minutes."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from watcher.errors import Terminal, Transient, WatcherError
from watcher.registry.errors import place, scrub, secrets_of, translate, translated

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

# MLflow's own: 120 s for a request, 7 retries over minutes. Seconds are ours to retry (`watcher.retry`); a person's own
# settings are kept.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_CONNECT_TIMEOUT = {"postgresql": {"connect_timeout": 5}, "mysql": {"connect_timeout": 5}}


class Client:
    """MLflow's client for one registry and its tracking server. The one place where it is called."""

    def __init__(self, registry_uri: str, tracking_uri: str, environ: Mapping[str, str]) -> None:
        self.registry_uri = registry_uri
        self.tracking_uri = tracking_uri
        self.where = place(registry_uri)
        self.tracking_where = place(tracking_uri)
        self._secrets = secrets_of(registry_uri, tracking_uri)
        self._environ = environ
        self._lock = threading.Lock()
        self._made: MlflowClient | None = None

    def ask(self, doing: str, call: Callable[[MlflowClient], T]) -> T:
        """The answer of one call, translated errors included; `Absent` where the thing does not exist."""
        with translated(doing, self.where, self._secrets):
            return call(self._client())

    def storage(self, doing: str, uri: str, call: Callable[[], T]) -> T:
        """The answer of an artifact store. Whatever goes wrong there may work later, but for a missing library."""
        self.ready()
        try:
            return call()
        except WatcherError:
            raise
        except ImportError as error:
            raise Terminal(f"could not {doing} at {place(uri)}: {error.name or 'a library'} is not installed") from None
        except Exception as error:  # noqa: BLE001 - every store brings an SDK with errors of its own
            ours = translate(error, doing, place(uri), self._secrets)
            raise (ours if isinstance(ours, Transient) else Transient(str(ours))) from None

    def ready(self) -> None:
        """Make the client, with all that importing it sets up."""
        with translated("connect", self.where, self._secrets):
            self._client()

    def _client(self) -> MlflowClient:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make()
        return self._made

    def _make(self) -> MlflowClient:
        for name, value in DEFAULTS.items():
            if name not in self._environ:
                os.environ.setdefault(name, value)
        for uri in {self.registry_uri, self.tracking_uri}:
            reachable(uri, self._secrets)
        from mlflow import MlflowClient

        quiet(self._environ)
        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.registry_uri)


def quiet(environ: Mapping[str, str]) -> None:
    """Leave only MLflow's errors in the log; it reports at INFO to stderr, and database errors with their SQL."""
    if "MLFLOW_LOGGING_LEVEL" not in environ:
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def reachable(uri: str, secrets: tuple[str, ...] = ()) -> None:
    """Raise `Transient` at once for a database that does not answer; MLflow would try for more than a minute."""
    dialect = uri.partition(":")[0].partition("+")[0]
    if dialect not in _CONNECT_TIMEOUT:
        return
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, connect_args=_CONNECT_TIMEOUT[dialect], poolclass=sqlalchemy.pool.NullPool)
    try:
        engine.connect().close()
    except sqlalchemy.exc.OperationalError as error:
        raise Transient(f"could not connect to {place(uri)} ({scrub(str(error), secrets)})") from None
