"""What the admin socket takes, checked: everything in it comes from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from gateway.errors import Refused

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
LONGEST = 4_096
"""Characters of any text."""
WHOLE = 100
"""Percent."""


@dataclass(frozen=True)
class EndpointSpec:
    """One public port. Its owner and its model never change."""

    name: str
    host: str
    port: int
    owner: str
    model: str


@dataclass(frozen=True)
class ReleaseSpec:
    """One version of a model, as it was asked for."""

    name: str
    owner: str
    model: str
    version: int
    key: str
    """Identity of the version; another key under the same name is another thing."""
    artifact_uri: str
    tracking_uri: str | None = None
    memory: int | None = None
    """Resident bytes above which the worker is replaced."""
    env: str = "auto"
    """`auto`: an environment of its own where the running one does not meet the requirements. `local`: never."""

    def told(self) -> dict[str, Any]:
        return asdict(self)


def name_of(value: Any, what: str) -> str:
    """A name that is safe in paths, headers and logs. Raises Refused (400)."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise Refused(400, f"The {what} must be a name of lower case letters, digits and dashes, at most 63.")
    return value


def endpoint(name: str, body: Mapping[str, Any], host: str) -> EndpointSpec:
    """Raises Refused (400) with what is wrong."""
    _only(body, EndpointSpec)
    port = _whole(body, "port", 1, 65_535)
    return EndpointSpec(
        name=name_of(name, "endpoint"),
        host=_text(body, "host", host),
        port=port,
        owner=_text(body, "owner"),
        model=_text(body, "model"),
    )


def release(name: str, body: Mapping[str, Any]) -> ReleaseSpec:
    """Raises Refused (400) with what is wrong."""
    _only(body, ReleaseSpec)
    env = _text(body, "env", "auto")
    if env not in ("auto", "local"):
        raise Refused(400, "env must be auto or local.")
    return ReleaseSpec(
        name=name_of(name, "release"),
        owner=_text(body, "owner"),
        model=_text(body, "model"),
        version=_whole(body, "version", 0, 2**53),
        key=_text(body, "key"),
        artifact_uri=_text(body, "artifact_uri"),
        tracking_uri=_text(body, "tracking_uri") if body.get("tracking_uri") is not None else None,
        memory=_whole(body, "memory", 1, 2**53) if body.get("memory") is not None else None,
        env=env,
    )


def weights(body: Mapping[str, Any]) -> tuple[dict[str, int], str]:
    """Shares above zero, and the token that was seen. Raises Refused (400) with what is wrong."""
    given, seen = body.get("weights"), body.get("seen")
    if set(body) != {"weights", "seen"} or not isinstance(given, dict) or not isinstance(seen, str):
        raise Refused(400, "weights takes an object: weights (name to percent) and seen (the token).")
    for name, weight in given.items():
        name_of(name, "release")
        if type(weight) is not int or not 0 <= weight <= WHOLE:
            raise Refused(400, f"The weight of {name} must be a whole number from 0 to 100.")
    if given and sum(given.values()) != WHOLE:
        raise Refused(400, f"The weights must sum to 100, not {sum(given.values())}, or be empty.")
    return {name: weight for name, weight in given.items() if weight}, seen


def mirror(body: Mapping[str, Any]) -> tuple[str | None, int, str]:
    """Release (None: nothing is mirrored), percent, and the token that was seen. Raises Refused (400)."""
    given, seen = body.get("mirror"), body.get("seen")
    if set(body) != {"mirror", "seen"} or not isinstance(given, dict) or len(given) > 1 or not isinstance(seen, str):
        raise Refused(400, "mirror takes an object: mirror (at most one name, to percent) and seen (the token).")
    for name, percent in given.items():
        name_of(name, "release")
        if type(percent) is not int or not 1 <= percent <= WHOLE:
            raise Refused(400, f"The mirrored share of {name} must be a whole number from 1 to 100.")
        return name, percent, seen
    return None, 0, seen


def _only(body: Mapping[str, Any], kind: type) -> None:
    unknown = sorted(set(body) - {field.name for field in fields(kind)})
    if unknown:
        raise Refused(400, f"Unknown key {unknown[0][:100]!r}.")


def _text(body: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = body.get(key, default)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isprintable():
        raise Refused(400, f"{key} must be a printable text of 1 to {LONGEST} characters.")
    return value


def _whole(body: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = body.get(key)
    if type(value) is not int or not least <= value <= most:
        raise Refused(400, f"{key} must be a whole number from {least} to {most}.")
    return value
