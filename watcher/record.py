"""The ledger's record of one model: only what cannot be observed again. Losing it costs time, never correctness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from watcher.values import NOTHING

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Intent:
    """A step that a worker is about to take; nobody else may act until it expires."""

    worker: str
    until: float
    step: str


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failed tries of one step, with the earliest time for the next."""

    count: int
    not_before: float
    why: str = ""
    terminal: bool = False
    """Whether the last try said that it will never work."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Since when one target has had these weights under this token."""

    key: str
    since: float


@dataclass(frozen=True, slots=True)
class Probed:
    """The outcome of a probe of one release on one target."""

    release: str
    ok: bool
    at: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """What the loop remembers of one model."""

    born: float
    """When this record was made; a young one acts only after a lease."""
    n: int = 0
    """Highest `n` of the crown tag that was seen or written."""
    rollout: int | None = None
    """The challenger that is being rolled out."""
    rollout_key: str = ""
    rollout_since: float = 0.0
    crowned_at: float = 0.0
    """Since when the champion has been the champion; keep-warm counts from here."""
    held_since: float | None = None
    """Since when a hold or a pause has stopped the rollout's clock."""
    settled: int = -1
    """Every version up to this number has its verdict or predates the watching; -1 before the first look."""
    stale_since: float | None = None
    """Since when the registry has disagreed with this record."""
    first_seen: Mapping[str, float] = NOTHING
    """Identity.key -> when the loop first saw it."""
    approved: Mapping[str, float] = NOTHING
    """Identity.key + `=` + value of the approval tag -> when the loop first saw it."""
    phases: Mapping[str, Phase] = NOTHING
    """Target name -> since when it has been as it is."""
    launched: Mapping[str, float] = NOTHING
    """Target name -> since when its last launch has been under way; the pauses between looks grow with it."""
    probed: Mapping[str, Probed] = NOTHING
    """Target name -> last probe of the release being rolled out."""
    baseline: Mapping[str, Mapping[str, float]] = NOTHING
    """Target name -> the champion's error share and p95 (ms) when both last answered."""
    attempts: Mapping[str, Attempts] = NOTHING
    """Step.slot -> failed tries."""
    live: Mapping[str, Mapping[str, int]] = NOTHING
    """Target name -> weights last written to the history."""
    told: Mapping[str, str] = NOTHING
    """What was last told in the history of a state that lasts, so that it is told once."""
    rolled_back: str = ""
    """Why the rollout is being rolled back, until its verdict is tagged."""
    intent: Intent | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, with the number of the format."""
        return {"format": FORMAT} | {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def from_json(body: Mapping[str, Any]) -> Record:
    """Read a record back. Raises ValueError where it is not one: the caller starts a new one and says so."""
    if body.get("format") != FORMAT:
        raise ValueError(f"ledger record has format {body.get('format')!r}, this watcher reads {FORMAT}")
    known = {f.name for f in fields(Record)}
    plain = {k: v for k, v in body.items() if k in known}
    try:
        plain["phases"] = {k: Phase(**v) for k, v in plain.get("phases", {}).items()}
        plain["probed"] = {k: Probed(**v) for k, v in plain.get("probed", {}).items()}
        plain["attempts"] = {k: Attempts(**v) for k, v in plain.get("attempts", {}).items()}
        plain["intent"] = Intent(**plain["intent"]) if plain.get("intent") else None
        return Record(**plain)
    except (AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"ledger record cannot be read: {error}") from error
