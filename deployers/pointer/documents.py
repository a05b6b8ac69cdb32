"""JSON documents with compare-and-set: under a lock on a disk, by ETag in an object store."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from watcher.errors import Terminal, Transient
from watcher.text import plain, secret_values, without_secrets

ABSENT = "absent"
"""Token of a pointer that nothing was staged in."""
MOST = 4 * 1024 * 1024
"""Bytes of a document that are read."""
PATIENCE = "4s"
"""For one request to an object store."""
WAIT = wait_random(0.01, 0.3)
TURNS = stop_after_delay(5)
"""Seconds: with two requests after them they end within a deployer's lease."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


@dataclass(frozen=True, slots=True)
class Held:
    """A document as it was read, and what tells it from any other state of it."""

    value: Any
    """None where there is none."""
    tag: Any = None
    """Of a document in an object store its ETag."""


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
            return Held(_json(uri, data))
    with _store_errors(uri):
        import obstore

        store, name = _store(uri)
        try:
            found = obstore.get(store, name)
        except FileNotFoundError:
            return Held(None)
        return Held(_json(uri, bytes(found.bytes())[:MOST]), dict(found.meta))


def edit(uri: str, change: Callable[[Any], Mapping[str, Any] | None]) -> None:
    """Put what `change` makes of the document, or of None, in its place; where it makes None the document stays.

    Writers take turns: on a disk under a lock, in an object store `change` is asked again where somebody was faster.
    Raises what `change` raises, and Transient where others are faster all the time.
    """
    if is_local(uri):
        place = path(uri)
        with _local_errors(uri), _locked(place):
            value = change(read(uri).value)
            if value is not None:
                _replace(place, _data(value))
        return
    for attempt in Retrying(retry=retry_if_exception_type(_Overtaken), wait=WAIT, stop=TURNS, reraise=True):
        with attempt:
            _put(uri, change)


class _Overtaken(Transient):
    """Somebody else wrote the document since it was read."""


def _put(uri: str, change: Callable[[Any], Mapping[str, Any] | None]) -> None:
    held = read(uri)
    value = change(held.value)
    if value is None:
        return
    with _store_errors(uri):
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        store, name = _store(uri)
        tag: Any = {key: held.tag[key] for key in ("e_tag", "version") if held.tag.get(key)} if held.tag else None
        try:
            obstore.put(store, name, _data(value), mode="create" if tag is None else tag)
        except (AlreadyExistsError, PreconditionError) as error:
            raise _Overtaken(f"{_shown(uri)} is written by others all the time.") from error


def _data(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode()


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
