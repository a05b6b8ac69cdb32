"""JSON documents with compare-and-set: under a lock on a disk, by ETag in an object store."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from watcher.errors import Terminal, Transient
from watcher.text import plain, secret_values, without_secrets

ABSENT = "absent"
"""Token of a pointer that nothing was staged in."""
MOST = 4 * 1024 * 1024
"""Bytes of a document that are read."""
PATIENCE = "4s"
"""For one request to an object store."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


@dataclass(frozen=True, slots=True)
class Held:
    """A document as it was read, and what tells it from any other state of it."""

    value: Any
    """None where there is none."""
    tag: Any = None
    """Of a document on a disk its bytes; in an object store its ETag."""


def is_local(uri: str) -> bool:
    """Whether it is a path, or a `file:` URL."""
    return _URL.match(uri) is None or uri.startswith("file:")


def path(uri: str) -> Path:
    """The path behind a local URI."""
    return Path(unquote(urlsplit(uri).path) if uri.startswith("file:") else uri)


def beside(pointer: str, name: str) -> str:
    """`…/churn.json`, `status` -> `…/churn.status.json`."""
    return f"{pointer.removesuffix('.json')}.{name}.json"


def copied(value: Any) -> Any:
    """JSON values, copied through."""
    return json.loads(json.dumps(value))


def read(uri: str) -> Held:
    """The document as it is. Raises Transient where it is out of reach, Terminal where it never can be read."""
    if is_local(uri):
        with _local_errors(uri):
            try:
                data = path(uri).open("rb").read(MOST)
            except FileNotFoundError:
                return Held(None)
            return Held(_json(uri, data), data)
    with _store_errors(uri):
        import obstore

        store, name = _store(uri)
        try:
            found = obstore.get(store, name)
        except FileNotFoundError:
            return Held(None)
        return Held(_json(uri, bytes(found.bytes())[:MOST]), dict(found.meta))


def swap(uri: str, value: Mapping[str, Any], before: Held) -> bool:
    """Replace the document if it is still as it was held; False where it is not."""
    data = json.dumps(value, indent=2).encode()
    if is_local(uri):
        with _local_errors(uri), _locked(path(uri)):
            place = path(uri)
            now = place.read_bytes() if place.exists() else None
            if now != before.tag:
                return False
            _replace(place, data)
            return True
    with _store_errors(uri):
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        store, name = _store(uri)
        tag: Any = {key: before.tag[key] for key in ("e_tag", "version") if before.tag.get(key)} if before.tag else None
        try:
            obstore.put(store, name, data, mode="create" if tag is None else tag)
        except (AlreadyExistsError, PreconditionError):
            return False
        return True


def remove(uri: str) -> None:
    """Remove a document that nobody needs any more; where that fails it stays."""
    with contextlib.suppress(Transient, Terminal, FileNotFoundError):
        if is_local(uri):
            with _local_errors(uri):
                path(uri).unlink(missing_ok=True)
            return
        with _store_errors(uri):
            import obstore

            store, name = _store(uri)
            obstore.delete(store, name)


def problems(uri: str) -> list[str]:
    """Why no document could be written there, as far as can be told without writing one."""
    if not is_local(uri):
        return []
    folder = path(uri).absolute().parent
    existing = next(above for above in (folder, *folder.parents) if above.exists())
    if existing.is_dir() and os.access(existing, os.W_OK):
        return []
    return [f"{uri} cannot be written: {existing} is not a folder that can be written to."]


def _json(uri: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Terminal(f"{_shown(uri)} is no JSON document: {plain(error)}.") from error


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f".{place.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(place: Path, data: bytes) -> None:
    spare = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}")
    try:
        with spare.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        spare.replace(place)
    except OSError:
        with contextlib.suppress(OSError):
            spare.unlink()
        raise


@contextlib.contextmanager
def _local_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except (PermissionError, NotADirectoryError, IsADirectoryError) as error:
        raise Terminal(f"{uri} cannot be used: {error.strerror}.") from error
    except OSError as error:
        raise Transient(f"{uri} cannot be used: {error.strerror}.") from error


@contextlib.contextmanager
def _store_errors(uri: str) -> Iterator[None]:
    try:
        from obstore import exceptions
    except ImportError as error:
        raise Terminal(
            f"{_shown(uri)} lies in an object store: install obstore, which the extra `local` has."
        ) from error
    never = (
        exceptions.PermissionDeniedError,
        exceptions.UnauthenticatedError,
        exceptions.UnknownConfigurationKeyError,
        exceptions.InvalidPathError,
        exceptions.NotSupportedError,
    )
    try:
        yield
    except (*never, NotImplementedError) as error:
        raise Terminal(f"{_shown(uri)} cannot be used: {_words(error)}.") from error
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise Transient(f"{_shown(uri)} cannot be used: {_words(error)}.") from error


def _words(error: Exception) -> str:
    text = without_secrets(str(error).strip().splitlines()[0] if str(error).strip() else "", secret_values(os.environ))
    return plain(f"{type(error).__name__}: {text}", 300)


def _shown(uri: str) -> str:
    return plain(without_secrets(uri), 300)


def _store(uri: str) -> tuple[Any, str]:
    folder, _, name = uri.rpartition("/")
    return _opened(folder), name


@lru_cache(maxsize=16)
def _opened(folder: str) -> Any:
    from obstore.store import from_url

    return from_url(folder, client_options=_client(), retry_config={"max_retries": 1})  # type: ignore[call-overload]


def _client() -> dict[str, str | bool]:
    """What obstore's own reading of the environment loses once it is told a time-out."""
    plainly = any(os.environ.get(f"{who}_ALLOW_HTTP", "").lower() == "true" for who in ("AWS", "AZURE", "GOOGLE"))
    return {"timeout": PATIENCE, "allow_http": plainly}
