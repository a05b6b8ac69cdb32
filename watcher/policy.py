"""What a policy can ask for; `config.py` turns the user's file into these. Durations in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from watcher.evaluations import Evaluate
from watcher.values import NOTHING


class Better(StrEnum):
    """Which way a metric points."""

    HIGHER = "higher"
    LOWER = "lower"


class SameData(StrEnum):
    """Whether the compared numbers must come from the same data; `when_known`: they must not be known to differ."""

    WHEN_KNOWN = "when_known"
    REQUIRED = "required"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Primary:
    """The metric that decides. A gain is turned so that more is better, whichever way the metric points."""

    metric: str
    better: Better = Better.HIGHER
    min_gain: float = 0.0
    """Absolute, or a share of the champion's absolute value where `relative`."""
    relative: bool = False
    confidence: float | None = None
    """Of the gain's interval, where the metric is evaluated; None: the usual one."""
    non_inferior: float | None = None
    """How much less than the champion is still good enough, instead of a gain; of evaluated metrics only."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A metric that may not get worse than the champion's by more than `max_drop` (absolute, or relative)."""

    metric: str
    max_drop: float
    better: Better = Better.HIGHER
    relative: bool = False
    each: str | None = None
    """A column of slices: the guard holds in each of them; of evaluated metrics only."""


@dataclass(frozen=True, slots=True)
class EvidenceRules:
    """What evidence has to be; missing evidence is waited for until `wait_at_most` after the version was first seen."""

    same_data: SameData = SameData.WHEN_KNOWN
    wait_at_most: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Approval:
    """A person has to write `tag` on a version, with any text."""

    tag: str
    expires: float | None = None
    """Counted from when the loop first saw the tag."""


class ChangeWindow(Protocol):
    """When winners may go: a pure function of time, made where time zones are known."""

    def opens(self, now: float) -> float | None:
        """`now` while it is open, else when it opens next; None where it never does. Seconds since the epoch."""
        ...

    def says(self) -> str:
        """`mon-thu 09:00 to 16:00 Europe/Amsterdam`."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules by which a candidate beats the champion."""

    primary: Primary
    name: str = "default"
    floors: Mapping[str, float] = NOTHING
    ceilings: Mapping[str, float] = NOTHING
    guards: tuple[Guard, ...] = ()
    evidence: EvidenceRules = field(default_factory=EvidenceRules)
    flavors: tuple[str, ...] = ()
    """Allowed flavours; empty: every one."""
    signature: bool = True
    """Whether a version must have a signature that accepts what the champion's accepts."""
    min_age: float = 0.0
    approval: Approval | None = None
    evaluate: Evaluate | None = None
    """How both are scored on the same rows; None: the logged metrics are believed."""
    change_window: ChangeWindow | None = None
