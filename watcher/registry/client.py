"""The MLflow client: made at the first call, kept quiet, and never waiting for minutes."""

from __future__ import annotations

import gc
import logging
import os
import shlex
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from watcher.errors import Terminal, Transient, WatcherError
from watcher.registry import azure_ml
from watcher.registry.dialects import dialect_of
from watcher.registry.errors import place, scrub, secrets_of, translate, translated

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

# MLflow's own: 120 s for a request, 7 retries over minutes. Seconds are ours to retry (`watcher.retry`); a person's own
# settings are kept.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_CONNECT_TIMEOUT = {"postgresql": {"connect_timeout": 5}, "mysql": {"connect_timeout": 5}}


class Client:
    """MLflow's client for one registry and its tracking server. The one place where it is called."""

    def __init__(self, registry_uri: str, tracking_uri: str, environ: Mapping[str, str]) -> None:
        self.registry_uri = registry_uri
        self.tracking_uri = tracking_uri
        self.dialect = dialect_of(registry_uri)
        self.where = place(registry_uri)
        self.tracking_where = place(tracking_uri)
        self._secrets = secrets_of(environ, registry_uri, tracking_uri)
        self._environ = environ
        self._lock = threading.Lock()
        self._made: MlflowClient | None = None

    def ask(self, doing: str, call: Callable[[MlflowClient], T]) -> T:
        """The answer of one call, translated errors included; `Absent` where the thing does not exist."""
        with self._translated(doing):
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
            ours = translate(error, doing, place(uri), self._secrets, setting="its address")
            raise (ours if isinstance(ours, Transient) else Transient(str(ours))) from None

    def ready(self) -> None:
        """Make the client, with all that importing it sets up."""
        with self._translated("connect"):
            self._client()

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        return translated(doing, self.where, self._secrets, self.dialect.sign_in)

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
            if problem := absent(uri):
                raise Terminal(problem)
            reachable(uri, self._secrets)
        from mlflow import MlflowClient
        from mlflow.tracking._model_registry import utils

        # Made by the first call otherwise, step by step: another thread then finds no store of a plugin's scheme.
        utils._get_store_registry()  # noqa: SLF001 - see above
        quiet(self._environ)
        for uri in {self.registry_uri, self.tracking_uri}:
            if uri.startswith(f"{azure_ml.SCHEME}:"):
                azure_ml.connect(uri)
        made = MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.registry_uri)
        # The SDK's objects live as long as the process: no full collection shall walk them in the middle of a step.
        gc.collect()
        gc.freeze()
        return made


def quiet(environ: Mapping[str, str]) -> None:
    """Leave only MLflow's errors in the log; it reports at INFO to stderr, and database errors with their SQL."""
    if "MLFLOW_LOGGING_LEVEL" not in environ:
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def absent(uri: str) -> str | None:
    """One sentence where the URI names a SQLite file that is not there or empty, else None.

    MLflow would make a new registry of it without a word, and several processes at once a broken one.
    """
    dialect, _, rest = uri.partition("://")
    file = rest.removeprefix("/").partition("?")[0]
    if dialect.partition("+")[0] != "sqlite" or not file or file.startswith((":memory:", "file:")):
        return None
    try:
        there = Path(file).stat().st_size > 0
    except OSError:
        there = False
    if there:
        return None
    return (
        f"there is no registry at {place(uri)}: correct the path in the settings, or make a new one with"
        f" `mlflow db upgrade {shlex.quote(place(uri))}`"
    )


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
