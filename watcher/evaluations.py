"""What an evaluation is asked for and what it found: champion and challenger scored on the same rows. Frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from watcher.values import NOTHING, Version

CONFIDENCE = 0.95
"""Of the intervals where the policy names none."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Every value of one column is looked at by itself, where it has at least `min_rows` rows."""

    column: str
    min_rows: int = 100


@dataclass(frozen=True, slots=True)
class Holdout:
    """Where the rows come from."""

    uri: str
    format: str | None = None
    """`parquet`, `csv`, `delta` or `mlflow`; None: told by the URI."""
    version: int | None = None
    """Of a Delta table; None: the newest."""


@dataclass(frozen=True, slots=True)
class Evaluate:
    """What the policy says of scoring. Sizes in bytes, durations in seconds."""

    data: Holdout
    target: str
    metrics: tuple[str, ...]
    slices: tuple[Slice, ...] = ()
    group: str | None = None
    """Column whose equal values belong together, where rows are not independent."""
    runner: str = "local"
    max_rows: int = 1_000_000
    max_overlap: float = 0.05
    """Share of the holdout's rows that may be among the rows a version was trained on."""
    memory: int = 4 * 2**30
    timeout: float = 3_600.0
    """For scoring one model."""
    home: str = ""
    """Folder of the runner's platform in which requests and results lie; empty where it has one of its own."""
    job: Mapping[str, Any] = NOTHING
    """What the runner's platform needs to know of the job."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One request: these two on this holdout. The same request again is the same evaluation."""

    challenger: Version
    champion: Version | None
    """None: nothing was ever champion, and only the challenger is scored."""
    rules: Evaluate
    confidence: float = CONFIDENCE
    looks: Mapping[str, int] = NOTHING
    """Data identity -> the highest look that is remembered; the next one is above it, whatever the runner forgot."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One metric of both on the same rows. The gain is turned so that more is better, as in `Primary`."""

    metric: str
    challenger: float | None
    """None where it cannot be computed on these rows: see `why`."""
    champion: float | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    """Ends of the interval of the gain, at the comparison's `level`."""
    rows: int = 0
    method: str = ""
    clusters: int | None = None
    column: str = ""
    """Of the slice; empty for all rows."""
    value: str = ""
    why: str = ""
    """Why there is no number, or why there are too few rows for one; empty where there is one."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an evaluation found."""

    data: str
    """Identity: a hash over all rows that were used."""
    rows: int
    scores: tuple[Scored, ...]
    """Of all rows, and of each slice."""
    level: float = CONFIDENCE
    """Confidence of the intervals, after what this look costs."""
    look: int = 1
    """How often this model was compared on this holdout, this time included; 0 where there was no champion."""
    seconds: float = 0.0
    table_version: int | None = None
    """Of a Delta table."""
    changed: float | None = None
    """Share of rows that the two answer differently; None without a champion."""
    leak: str = ""
    """Why the holdout counts as data that the challenger was trained on; empty where it does not."""
    overlap: float | None = None
    """Share of the holdout's rows found among its training rows; None where these could not be read."""
    leak_unknown: str = ""
    """What could not be checked of it, and why."""

    def of(self, metric: str) -> Scored | None:
        """The metric over all rows."""
        return next((s for s in self.scores if s.metric == metric and not s.column), None)

    def slices(self, metric: str, column: str) -> tuple[Scored, ...]:
        """The metric in each slice of a column."""
        return tuple(s for s in self.scores if s.metric == metric and s.column == column)


class Progress(StrEnum):
    """How far an evaluation is."""

    ABSENT = "absent"
    RUNNING = "running"
    FAILED = "failed"
    DONE = "done"


class Fault(StrEnum):
    """On whose account an evaluation failed."""

    CHALLENGER = "challenger"
    CHAMPION = "champion"
    ELSEWHERE = "elsewhere"
    """The data, the machine: nothing is said about either model, and it is tried again."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation as it was observed."""

    progress: Progress
    since: float = 0.0
    """When it started, or when it failed; seconds since the epoch."""
    why: str = ""
    """Why it failed, or what it is doing."""
    fault: Fault = Fault.ELSEWHERE
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a platform's job, as the platform tells it."""

    ended: bool
    at: float = 0.0
    """When it ended, seconds since the epoch; 0 where that is not known."""
    why: str = ""
    """How it ended, in words."""
