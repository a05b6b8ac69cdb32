"""Our tags on endpoints and deployments: whose it is, what it serves, and when its traffic was last written."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from watcher.text import plain
from watcher.values import Target, Version

OWNER, MODEL = "watcher.owner", "watcher.model"
VERSION, KEY = "watcher.version", "watcher.key"
TOKEN, SINCE, SHARES, ADOPTED = "watcher.token", "watcher.since", "watcher.shares", "watcher.adopted"
MIRROR = "watcher.mirror"
LONGEST = 256
"""Characters of a tag's value in Azure."""
_OURS = (OWNER, MODEL, TOKEN, SINCE, SHARES, ADOPTED, MIRROR)


@dataclass(frozen=True, slots=True)
class EndpointMarks:
    """What an endpoint's tags say; every field may be missing, since people write tags too."""

    owner: str = ""
    model: str = ""
    token: str = ""
    since: float | None = None
    """When its traffic was last written by us, seconds since the epoch."""
    shares: str = ""
    """Digest of the traffic that was written then."""
    adopted: tuple[str, int] | None = None
    """Deployment that a person lent, and the version that it serves."""
    mirror: str = ""
    """Release that live requests were last mirrored to by us."""

    def written(self, tags: Mapping[str, str]) -> dict[str, str]:
        """The endpoint's tags with these in place of ours."""
        kept = {key: value for key, value in tags.items() if key not in _OURS}
        ours = {OWNER: self.owner, MODEL: self.model, TOKEN: self.token, SHARES: self.shares, MIRROR: self.mirror}
        if self.since is not None:
            ours[SINCE] = f"{self.since:.3f}"
        if self.adopted is not None:
            ours[ADOPTED] = f"{self.adopted[0]}={self.adopted[1]}"
        return kept | {key: value for key, value in ours.items() if value}

    def moved(self, shares: Mapping[str, int], now: float) -> EndpointMarks:
        """The marks of a new write of the traffic."""
        return replace(self, token=secrets.token_hex(8), since=now, shares=digest(shares))


def of_endpoint(tags: Mapping[str, Any]) -> EndpointMarks:
    """What the tags say; a value that is not what we write counts as missing."""
    return EndpointMarks(
        owner=str(tags.get(OWNER) or ""),
        model=str(tags.get(MODEL) or ""),
        token=str(tags.get(TOKEN) or "")[:LONGEST],
        since=_seconds(tags.get(SINCE)),
        shares=str(tags.get(SHARES) or ""),
        adopted=_adopted(tags.get(ADOPTED)),
        mirror=str(tags.get(MIRROR) or "")[:LONGEST],
    )


def of_release(target: Target, version: Version) -> dict[str, str]:
    """Tags of a deployment, a model or an environment that is made for this version."""
    return {
        OWNER: target.owner,
        MODEL: fitting(target.model),
        VERSION: str(version.number),
        KEY: version.identity.key,
    }


def is_ours(tags: Mapping[str, Any], target: Target) -> bool:
    """Whether a deployment carries this watcher's and this model's tags."""
    return tags.get(OWNER) == target.owner and tags.get(MODEL) == fitting(target.model)


def version_of(tags: Mapping[str, Any]) -> int:
    """The version that a deployment's tags name, 0 where they name none."""
    text = str(tags.get(VERSION) or "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004 - registries end at 2^31


def fitting(text: str) -> str:
    """The text as a tag's value; a longer one ends in a digest of the whole."""
    if len(text) <= LONGEST:
        return text
    tail = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: LONGEST - len(tail) - 1]}-{tail}"


def digest(traffic: Mapping[str, int]) -> str:
    """Twelve hex digits that stand for weights: those of zero do not count."""
    text = json.dumps({name: percent for name, percent in traffic.items() if percent}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def foreign(marks: EndpointMarks, target: Target) -> str | None:
    """Whose an endpoint is where it is another's, in one sentence; None where it is ours or nobody's."""
    if not marks.owner and not marks.model:
        return None
    if (marks.owner, marks.model) == (target.owner, fitting(target.model)):
        return None
    return plain(f"The endpoint serves the model {marks.model} for the owner {marks.owner}.", 500)


def _seconds(value: object) -> float | None:
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if 0 < found < 1e11 else None  # noqa: PLR2004 - no time of ours


def _adopted(value: object) -> tuple[str, int] | None:
    name, _, number = str(value or "").partition("=")
    return (name, int(number)) if name and number.isdecimal() and len(number) < 10 else None  # noqa: PLR2004 - as above
