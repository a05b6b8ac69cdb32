"""The ledger's record of one model: only what cannot be observed again. Losing it costs time, never correctness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from watcher.values import NOTHING

T = TypeVar("T")
FARTHEST = 1e15
"""What no time is beyond, in seconds; nor is it infinite or not a number."""
FORMAT = 1
OWN = "#"
"""What the keys of the loop's own records start with: `#slots`, `#pause`, `#poll`, `#marks`, `#news:MODEL`."""


def key_of(model: str) -> str:
    """The ledger's key of a model. A name that begins as the loop's own keys do gets one `#` more."""
    return f"{OWN}{model}" if model.startswith(OWN) else model


def model_of(key: str) -> str | None:
    """The model behind a key of the ledger, None for a record of the loop's own."""
    if key.startswith(OWN + OWN):
        return key.removeprefix(OWN)
    return None if key.startswith(OWN) else key


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
    going_on: bool = False
    """Whether the last try was none that failed: the step goes on where it was left."""


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
class Pending:
    """News of which a person has not been notified yet."""

    at: float
    news: str
    """A code of `watcher.news.News`."""
    text: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A shift that was accepted and takes effect later."""

    version: int | None
    reason: str
    weights: Mapping[str, int]
    """As they are written to the history."""
    answered: Mapping[str, Mapping[str, int]]
    """Version -> what it answered before the shift."""
    mirrored: Mapping[str, float | None] = NOTHING
    """What a mirror found that ended with the shift, as it is written to the history."""

    @property
    def told(self) -> dict[str, Any]:
        """The data of its line in the history, once it is seen."""
        mirrored = {"mirrored": self.mirrored} if self.mirrored else {}
        return {"weights": self.weights, "answered": self.answered, **mirrored}


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
    turn: int = 0
    """Where the next wake-up goes on among more candidates than one reads; 0 where one reads them all."""
    leader: int | None = None
    """The winner that was advised last; it is read whatever the turn, so that advice does not change with it."""
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
    moved: Mapping[str, Moved] = NOTHING
    """Target name -> what was asked of it and is told once it is seen."""
    looks: Mapping[str, int] = NOTHING
    """Identity of a holdout -> how often this model was compared on it. Kept by the evaluator too: see ADR 0015."""
    told: Mapping[str, str] = NOTHING
    """What was last told in the history of a state that lasts, so that it is told once."""
    rolled_back: str = ""
    """Why the rollout is being rolled back, until its verdict is tagged."""
    outbox: Mapping[str, Pending] = NOTHING
    """News by a name of its own: noted with the lines that it comes from, and gone once it was sent."""
    intent: Intent | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, with the number of the format."""
        return {"format": FORMAT, **_plain(self)}


def changed(record: Record, **changes: Any) -> Record:
    """The record with these fields; itself where they are what they were, as they are at most wake-ups."""
    fresh = {name: value for name, value in changes.items() if getattr(record, name) != value}
    return replace(record, **fresh) if fresh else record


def left_behind(record: Record, targets: Iterable[str]) -> Mapping[str, Mapping[str, int]]:
    """Targets that the settings no longer name and that served something when they were last seen, with their weights.

    They serve it still: what is not in the settings is neither looked at nor moved.
    """
    named = set(targets)
    return {name: weights for name, weights in record.live.items() if name not in named and weights}


def without_target(record: Record, name: str) -> Record:
    """The record as if it had never known this target."""

    def others(known: Mapping[str, T]) -> Mapping[str, T]:
        return {target: value for target, value in known.items() if target != name}

    return replace(
        record,
        phases=others(record.phases),
        launched=others(record.launched),
        probed=others(record.probed),
        baseline=others(record.baseline),
        live=others(record.live),
        moved=others(record.moved),
        told={key: value for key, value in record.told.items() if not key.startswith(f"wrote:{name}:")},
    )


def _plain(value: Any) -> Any:
    # Written twice a step: `dataclasses.asdict` takes several times as long, and a call for each scalar twice as long.
    names = NAMES.get(type(value))
    if names is not None:
        items: Iterable[tuple[str, Any]] = [(name, getattr(value, name)) for name in names]
    elif isinstance(value, Mapping):
        items = value.items()
    else:
        return value
    return {key: item if type(item) in _SCALARS else _plain(item) for key, item in items}


_SCALARS = frozenset({int, float, str, bool, type(None)})
NAMES: Mapping[type, tuple[str, ...]] = {
    kept: tuple(f.name for f in fields(kept)) for kept in (Record, Intent, Attempts, Phase, Probed, Moved, Pending)
}


def from_json(body: Mapping[str, Any]) -> Record:
    """Read a record back. Raises ValueError where it is not one: the caller starts a new one and says so."""
    if body.get("format") != FORMAT:
        raise ValueError(f"ledger record has format {body.get('format')!r}, this watcher reads {FORMAT}")
    plain = {k: v for k, v in body.items() if k in NAMES[Record]}
    try:
        plain["phases"] = {k: Phase(**v) for k, v in plain.get("phases", {}).items()}
        plain["probed"] = {k: Probed(**v) for k, v in plain.get("probed", {}).items()}
        plain["attempts"] = {k: Attempts(**v) for k, v in plain.get("attempts", {}).items()}
        plain["moved"] = {k: Moved(**v) for k, v in plain.get("moved", {}).items()}
        plain["outbox"] = {k: Pending(**v) for k, v in plain.get("outbox", {}).items()}
        plain["intent"] = Intent(**plain["intent"]) if plain.get("intent") else None
        record = Record(**plain)
    except (AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"ledger record cannot be read: {error}") from error
    wrong = _misfit(record)
    if wrong is not None:
        raise ValueError(f"ledger record cannot be read: {wrong}")
    return record


def _misfit(kept: object) -> str | None:
    """What is wrong with the first field whose value is not of its type, None where all are."""
    for name, fits in _FITS[type(kept)].items():
        if not fits(getattr(kept, name)):
            hint = _HINTS[type(kept)][name]
            return f"{name} is not {hint if get_args(hint) else hint.__name__}"
    if isinstance(kept, Record):
        for mark in (*kept.first_seen, *kept.approved):
            if not mark.partition("-")[0].isdecimal():
                return f"{mark!r} is of no version"
    return None


def _fit(hint: Any) -> Callable[[object], bool]:
    """Whether a value is of this type. Made once: asking `typing` for each value takes several times as long."""
    parts = [_fit(one) for one in get_args(hint)]
    if get_origin(hint) is Mapping:
        key, value = parts
        return lambda found: isinstance(found, Mapping) and all(key(k) and value(v) for k, v in found.items())
    if parts:
        return lambda found: any(fits(found) for fits in parts)
    if hint in NAMES:
        return lambda found: isinstance(found, hint) and _misfit(found) is None
    if hint is float:
        return _is_number
    return lambda found: type(found) is hint


def _is_number(found: object) -> bool:
    return isinstance(found, int | float) and type(found) is not bool and -FARTHEST < found < FARTHEST


_HINTS: Mapping[type, Mapping[str, Any]] = {kept: get_type_hints(kept) for kept in NAMES}
_FITS: Mapping[type, Mapping[str, Callable[[object], bool]]] = {
    kept: {name: _fit(hint) for name, hint in hints.items()} for kept, hints in _HINTS.items()
}
