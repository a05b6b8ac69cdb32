"""One evaluation as it is asked for, and the names that its parts are kept under."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Model:
    """One model version. `key` is its whole identity, hashed; equal keys are the same artifacts."""

    name: str
    version: int
    key: str
    artifact_uri: str
    run_id: str | None = None

    @property
    def label(self) -> str:
        return f"version {self.version}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the rows come from."""

    uri: str
    format: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """These two on these rows. Sizes in bytes, durations in seconds."""

    challenger: Model
    champion: Model | None
    data: Source
    target: str
    metrics: tuple[str, ...]
    slices: tuple[tuple[str, int], ...] = ()
    """Column and the fewest rows of a slice."""
    group: str | None = None
    max_rows: int = 1_000_000
    max_overlap: float = 0.05
    memory: int = 4 * 2**30
    timeout: float = 3_600.0
    confidence: float = 0.95
    looks: tuple[tuple[str, int], ...] = ()
    """Data identity and the highest look that the caller remembers."""
    tracking_uri: str | None = None
    master: str | None = None
    """Of the Spark whose workers score; None: processes of this machine do."""

    def key(self, token: str) -> str:
        """Of the whole comparison on the data as it is now."""
        about = self.to_json()
        for passing in ("looks", "tracking_uri", "timeout", "memory", "master"):
            about.pop(passing)
        return _hashed(about, token)

    def rows_key(self, token: str) -> str:
        """Of the rows: which they are, and which of their columns are kept beside the predictions."""
        return _hashed([self.target, [column for column, _ in self.slices], self.group, self.max_rows], token)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def from_json(found: dict[str, Any]) -> Job:
    """The job that was written by `to_json`."""
    champion = found["champion"]
    return Job(
        **{
            **found,
            "challenger": Model(**found["challenger"]),
            "champion": Model(**champion) if champion else None,
            "data": Source(**found["data"]),
            "metrics": tuple(found["metrics"]),
            "slices": tuple((column, rows) for column, rows in found["slices"]),
            "looks": tuple((data, look) for data, look in found["looks"]),
        }
    )


def _hashed(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
