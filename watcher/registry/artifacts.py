"""A version's small files, read from wherever they lie; the model itself is never touched."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from watcher.errors import Transient
from watcher.registry import azure_ml
from watcher.registry.client import Client
from watcher.registry.errors import place
from watcher.values import Artifacts

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

MODEL_FILE = "MLmodel"
SDK_SECONDS = 10
"""For one request to a store that is reached through an SDK, and for what that SDK tries again by itself."""
LARGEST = 2_000_000
"""Bytes of one file; a signature of some thousand columns stays well below."""


class TooLarge(ValueError):
    """The file is larger than anything that belongs there; the message says which and how large."""


class Unreadable(ValueError):
    """A location that must not or cannot be read; the message says why."""


class Folder(Protocol):
    """One place with a model's files."""

    def look(self) -> Artifacts:
        """Whether an MLmodel file is there; `ABSENT` only where the storage itself says so. Raises `Transient`."""
        ...

    def read(self, name: str) -> bytes | None:
        """A file's content, None where it is not there. Raises `TooLarge` and `Transient`."""
        ...


def folder(uri: str, client: Client) -> Folder:
    """The folder that a URI names: a local one is read directly, every other through MLflow's artifact stores.

    Raises `Unreadable` where the location would send our credentials to a stranger, or no store knows its scheme.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Unreadable("its location is not a URI") from None
    if not parts.scheme:
        return LocalFolder(Path(uri))
    if parts.scheme == "file":
        if host not in {None, "", "localhost"}:
            raise Unreadable(f"its location names another machine ({place(uri)})")
        return LocalFolder(Path(unquote(parts.path)))
    if parts.scheme == "models" and client.dialect.keeps_files:
        if parts.query or parts.fragment:
            raise Unreadable("the model's name has a character that no URI of a model can have")
        return StoredFolder(uri, client)
    if parts.scheme in {"models", "runs"}:
        return Nowhere()
    if parts.scheme in {"http", "https", "mlflow-artifacts"} and host and not _ours(host, port, client):
        raise Unreadable(f"its location is on a server that is neither registry nor tracking server ({place(uri)})")
    if parts.scheme == azure_ml.SCHEME and not azure_ml.is_ours(uri, client.registry_uri, client.tracking_uri):
        raise Unreadable(f"its location is in no workspace of the settings, or not among its runs ({place(uri)})")
    return StoredFolder(uri, client)


def _ours(host: str, port: int | None, client: Client) -> bool:
    """Whether a server may see the credentials of the tracking server: MLflow sends them to any it is told to ask."""
    known = [urlsplit(uri) for uri in (client.registry_uri, client.tracking_uri)]
    return any(host == k.hostname and port == k.port for k in known)


class Nowhere:
    """A location that could not be resolved: nothing is known of it."""

    def look(self) -> Artifacts:
        return Artifacts.UNKNOWN

    def read(self, name: str) -> bytes | None:
        return None


class LocalFolder:
    """A directory on this machine. Nothing outside it is read, whatever its links say."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def look(self) -> Artifacts:
        try:
            if (self._path / MODEL_FILE).is_file():
                return Artifacts.PRESENT
            confirmed = self._path.is_dir() or _lives_elsewhere(self._path)
        except (OSError, ValueError) as error:
            raise Transient(f"could not look into {place(str(self._path))}: {type(error).__name__}") from None
        return Artifacts.ABSENT if confirmed else Artifacts.UNKNOWN

    def read(self, name: str) -> bytes | None:
        try:
            root = self._path.resolve()
            file = (root / name).resolve()
            if not file.is_relative_to(root) or not file.is_file():
                return None
            with file.open("rb") as stream:
                return bounded(name, stream.read(LARGEST + 1))
        except OSError as error:
            raise Transient(f"could not read {name} in {place(str(self._path))}: {type(error).__name__}") from None


def _lives_elsewhere(path: Path) -> bool:
    """Whether a missing directory is really missing: what should hold it is there, with other things in it.

    An empty or missing parent may be a disk that is not mounted, or a path of another machine.
    """
    for parent in list(path.parents)[:3]:
        if parent.is_dir():
            return parent != Path(path.anchor) and any(parent.iterdir())
    return False


class StoredFolder:
    """A folder in any artifact store that MLflow knows."""

    def __init__(self, uri: str, client: Client) -> None:
        self._uri = uri
        self._client = client
        self._sizes: dict[str, int | None] | None = None
        self._made: ArtifactRepository | None = None

    def look(self) -> Artifacts:
        return Artifacts.PRESENT if MODEL_FILE in self._listing() else Artifacts.ABSENT

    def read(self, name: str) -> bytes | None:
        sizes = self._listing()
        if name not in sizes:
            return None
        if (sizes[name] or 0) > LARGEST:
            raise TooLarge(f"{name} has {sizes[name]} bytes")
        # The public download would list everything again for every file.
        download: Callable[[str, str], None] = self._repository()._download_file  # noqa: SLF001
        with tempfile.TemporaryDirectory(prefix="watcher-") as scratch:
            target = Path(scratch) / "file"
            self._client.storage(f"read {name}", self._uri, lambda: download(name, str(target)))
            with target.open("rb") as stream:
                return bounded(name, stream.read(LARGEST + 1))

    def _listing(self) -> dict[str, int | None]:
        if self._sizes is None:
            repository = self._repository()
            found = self._client.storage("list", self._uri, lambda: list(repository.list_artifacts()))
            self._sizes = {str(f.path): f.file_size for f in found if not f.is_dir}
        return self._sizes

    def _repository(self) -> ArtifactRepository:
        if self._made is None:
            self._client.ready()
            from mlflow.store.artifact import artifact_repository_registry as stores

            scheme = urlsplit(self._uri).scheme
            if scheme not in stores.get_registered_artifact_repositories():
                raise Unreadable(f"no artifact store is known for locations that start with {scheme}:")
            uris = {"tracking_uri": self._client.tracking_uri, "registry_uri": self._client.registry_uri}

            def opened() -> ArtifactRepository:
                found = stores.get_artifact_repository(self._uri, **uris)
                return _itself(found) if scheme == "models" else found

            self._made = self._client.storage("open", self._uri, opened)
        return self._made


def _itself(found: ArtifactRepository) -> ArtifactRepository:
    """The store that holds a version's files: the registry's ask anew where they lie, at every call."""
    kept_by = getattr(found, "repo", found)
    resolve: Callable[[], ArtifactRepository] | None = getattr(kept_by, "_get_artifact_repo", None)
    store = resolve() if resolve is not None else kept_by
    sdk: Any = getattr(store, "client", None)
    if hasattr(sdk, "config"):
        # Made to try for five minutes; seconds are ours to retry.
        config = sdk.config.copy()
        config.retry_timeout_seconds = config.http_timeout_seconds = SDK_SECONDS
        vars(store)["client"] = type(sdk)(config=config)
    return store


def bounded(name: str, content: bytes) -> bytes:
    """The content, if it is small enough. Raises `TooLarge`."""
    if len(content) > LARGEST:
        raise TooLarge(f"{name} has more than {LARGEST} bytes")
    return content
