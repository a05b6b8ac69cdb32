"""The release pointer: which one pinned version a job scores with, and which are staged to come.

`{"format": 1, "owner", "model", "token", "live": NAME or null, "releases": {NAME: {"version", "key", "uri"}}}`. Whoever
deploys writes it; a job only reads it. The token changes with every move.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoring import documents
from scoring.errors import POINTER, USAGE, Stop

FORMAT = 1
_PINNED = re.compile(r"models:/(?P<model>[^/@]+)/(?P<version>\d+)")


@dataclass(frozen=True, slots=True)
class Release:
    """One pinned version of a model."""

    name: str
    model: str
    version: int
    key: str
    """Tells two versions of the same number apart."""
    uri: str
    """Where its artifacts lie; never an alias."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """The document as a job sees it."""

    model: str
    token: str
    live: Release | None
    staged: tuple[Release, ...] = ()
    """Releases that are not live."""

    def named(self, name: str) -> Release | None:
        """A release by its name."""
        live = (self.live,) if self.live else ()
        return next((release for release in (*live, *self.staged) if release.name == name), None)


def read(uri: str) -> Pointer | None:
    """The pointer, None where there is none yet. Raises Stop where it cannot be read, or is none.

    `models:/NAME/VERSION` is a pointer too, one that never moves: whoever starts the job moves it, by starting another.
    """
    if not uri:
        return None
    if (found := _PINNED.fullmatch(uri)) is not None:
        release = Release(f"v{found['version']}", found["model"], int(found["version"]), "", uri)
        return Pointer(release.model, uri, release)
    if uri.startswith("models:"):
        raise Stop(USAGE, f"{uri} names no pinned version: write models:/NAME/VERSION, with its number.")
    told = documents.read(uri)
    return None if told is None else parse(told, uri)


def live(uri: str) -> tuple[Release, str]:
    """What to score with, and the token of the pointer. Raises Stop where there is nothing yet."""
    found = read(uri)
    if found is None or found.live is None:
        raise Stop(USAGE, f"{uri or 'The pointer'} names no version yet, so there is nothing to score with.")
    return found.live, found.token


def refuse_nothing(uri: str) -> None:
    """Raises Stop where it names no version and never will: only a document is moved."""
    if not is_document(uri):
        live(uri)


def is_document(uri: str) -> bool:
    """Whether it is one that is moved, and has room beside it for what a job says of itself."""
    return bool(uri) and not uri.startswith("models:")


def parse(found: Any, uri: str) -> Pointer:
    """The pointer that a JSON value stands for. Raises Stop where it stands for none."""

    def need(condition: object, what: str) -> None:
        if not condition:
            raise Stop(POINTER, f"{uri} is no release pointer: {what}.")

    need(isinstance(found, Mapping), "it is no mapping")
    need(found.get("format") == FORMAT, f"its format is {found.get('format')!r:.40}, and this job reads {FORMAT}")
    model, token, told, name = (found.get(key) for key in ("model", "token", "releases", "live"))
    need(isinstance(model, str) and model, "it names no model")
    need(isinstance(token, str) and token, "it has no token")
    need(isinstance(told, Mapping), "it lists no releases")
    need(name is None or isinstance(name, str), "what is live is no name")
    releases = {key: _release(key, model, value) for key, value in told.items()}
    need(all(releases.values()), "a release has no version, key and uri")
    need(name is None or name in releases, "what is live is not among its releases")
    staged = tuple(release for key, release in releases.items() if release is not None and key != name)
    return Pointer(model, token, releases[name] if name is not None else None, staged)


def _release(name: str, model: str, told: Any) -> Release | None:
    if not isinstance(told, Mapping):
        return None
    version, key, uri = told.get("version"), told.get("key"), told.get("uri")
    if type(version) is not int or not isinstance(key, str) or not isinstance(uri, str) or not uri:
        return None
    return Release(name, model, version, key, uri)
