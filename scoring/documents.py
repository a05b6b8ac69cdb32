"""Small JSON documents on a local path or in an object store: either the old or the new one, never half of one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from scoring.errors import OUTPUT, POINTER, Stop, sentence

MOST = 4 * 1024 * 1024
"""Bytes of a document that are read."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
PATIENCE = "10s"


def is_remote(uri: str) -> bool:
    """Whether it names an object store; a path, or `file:`, is local."""
    return _URL.match(uri) is not None and not uri.startswith("file:")


def local(uri: str) -> Path:
    """The path behind a local URI."""
    return Path(unquote(urlsplit(uri).path) if uri.startswith("file:") else uri)


def beside(pointer: str, name: str) -> str:
    """`…/churn.json`, `status` -> `…/churn.status.json`: a document that lies beside the pointer."""
    return f"{pointer.removesuffix('.json')}.{name}.json"


def read(uri: str) -> Any:
    """The document, None where there is none. Raises Stop where it cannot be read, or is no JSON."""
    try:
        data = _remote_read(uri) if is_remote(uri) else _local_read(local(uri))
    except Stop:
        raise
    except Exception as error:
        raise Stop(POINTER, f"{uri} cannot be read: {sentence(error)}") from error
    if data is None:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Stop(POINTER, f"{uri} is no JSON document: {sentence(error)}") from error


def put(uri: str, value: Mapping[str, Any]) -> None:
    """Replace the document. Raises Stop where it cannot be written."""
    data = json.dumps(value).encode()
    try:
        if is_remote(uri):
            import obstore

            store, name = _store(*_split(uri))
            obstore.put(store, name, data)
        else:
            _local_put(local(uri), data)
    except Stop:
        raise
    except Exception as error:
        raise Stop(POINTER, f"{uri} cannot be written: {sentence(error)}") from error


def create(uri: str, value: Mapping[str, Any]) -> bool:
    """Write a document in an object store unless there is one already; False where there is."""
    import obstore
    from obstore.exceptions import AlreadyExistsError

    store, name = _store(*_split(uri))
    try:
        obstore.put(store, name, json.dumps(value).encode(), mode="create")
    except AlreadyExistsError:
        return False
    except Exception as error:
        raise Stop(OUTPUT, f"{uri} cannot be written: {sentence(error)}") from error
    return True


def _local_read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MOST)
    except FileNotFoundError:
        return None


def _local_put(path: Path, data: bytes) -> None:
    spare = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        spare.write_bytes(data)
        spare.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            spare.unlink()
        raise


def _remote_read(uri: str) -> bytes | None:
    import obstore

    store, name = _store(*_split(uri))
    try:
        return bytes(obstore.get_range(store, name, start=0, length=MOST))
    except FileNotFoundError:
        return None


def _split(uri: str) -> tuple[str, str]:
    folder, _, name = uri.rpartition("/")
    return folder, name


@lru_cache(maxsize=16)
def _store(folder: str, name: str) -> tuple[Any, str]:
    try:
        from obstore.store import from_url
    except ImportError as error:
        raise Stop(POINTER, f"{folder}/{name} lies in an object store, and obstore is not installed here.") from error
    retry = {"max_retries": 2}
    return from_url(folder, client_options=_client(), retry_config=retry), name  # type: ignore[call-overload]


def _client() -> dict[str, str | bool]:
    """What obstore's own reading of the environment loses once it is told a time-out."""
    plainly = any(os.environ.get(f"{who}_ALLOW_HTTP", "").lower() == "true" for who in ("AWS", "AZURE", "GOOGLE"))
    return {"timeout": PATIENCE, "allow_http": plainly}
