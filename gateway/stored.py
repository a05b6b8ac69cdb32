"""What survives a restart: endpoints, their weights, and the releases that were asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import spec as checked
from gateway.errors import Refused
from gateway.files import read_json, write_json
from gateway.spec import EndpointSpec, ReleaseSpec

log = logging.getLogger(__name__)
FORMAT = 1


@dataclass(frozen=True)
class Kept:
    """One endpoint as it was last written."""

    spec: EndpointSpec
    weights: dict[str, int]
    mirror: tuple[str | None, int]
    """Release and percent."""
    releases: tuple[ReleaseSpec, ...]


def save(path: Path, endpoints: Mapping[str, Any]) -> None:
    """On disk once this returns."""
    write_json(path, {"format": FORMAT, "endpoints": endpoints}, durable=True)


def load(path: Path, host: str) -> list[Kept]:
    """All endpoints. A file that cannot be understood is put aside, with everything in it, and nothing is kept."""
    if not path.exists():
        return []
    value = read_json(path)
    try:
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']!r}")
        return [_kept(name, told, host) for name, told in value["endpoints"].items()]
    except (Refused, TypeError, KeyError, AttributeError, ValueError):
        aside = path.with_name(f"{path.name}.{time.time_ns()}")
        path.replace(aside)
        log.exception("the state cannot be read; it was put aside as %s", aside)
        return []


def _kept(name: str, told: Mapping[str, Any], host: str) -> Kept:
    endpoint = checked.endpoint(name, {key: told[key] for key in ("host", "port", "owner", "model")}, host)
    releases = tuple(checked.release(release, wanted) for release, wanted in told["releases"].items())
    weights, _ = checked.weights({"weights": told["weights"], "seen": ""})
    if not set(weights) <= {release.name for release in releases}:
        raise ValueError(f"weights of {name} name a release that is not there")
    # What an older gateway wrote has none.
    mirrored, percent, _ = checked.mirror({"mirror": told.get("mirror", {}), "seen": ""})
    if mirrored is not None and mirrored not in {release.name for release in releases}:
        raise ValueError(f"the mirror of {name} names a release that is not there")
    return Kept(endpoint, weights, (mirrored, percent), releases)
