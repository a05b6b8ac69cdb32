"""The values that travel between the parts. Frozen, plain, without I/O.

Times are seconds since the epoch (float, UTC) unless a name says otherwise; weights are whole percent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any


class _Nothing(Mapping[Any, Any]):
    """The empty mapping, hashable so that it can be a default of a frozen value."""

    def __getitem__(self, key: object) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"


NOTHING: Mapping[Any, Any] = _Nothing()


# The registry


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a version itself: numbers are used again after a model was deleted and re-created."""

    name: str
    version: int
    created_ms: int
    source: str

    @property
    def digest(self) -> str:
        """Six hex digits that tell two versions of the same number apart."""
        return _digest(self)

    @property
    def key(self) -> str:
        """`12-a1b2c3`: the short form that is kept in tags, owner marks and the ledger."""
        return f"{self.version}-{self.digest}"


@lru_cache(maxsize=8_192)
def _digest(identity: Identity) -> str:
    """Asked for many times in every wake-up, of the same few versions."""
    text = "\x00".join((identity.name, str(identity.version), str(identity.created_ms), identity.source))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


class Status(StrEnum):
    """A version's own state in the registry."""

    READY = "ready"
    PENDING = "pending"
    FAILED = "failed"


class Call(StrEnum):
    """What a version was called, by the judge or after a rollout."""

    WINS = "wins"
    LOSES = "loses"
    INVALID = "invalid"
    WAITS = "waits"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled_back"
    DISPLACED = "displaced"
    UNMET = "unmet"


FINAL = frozenset({Call.LOSES, Call.INVALID, Call.SUPERSEDED, Call.ROLLED_BACK, Call.DISPLACED})
"""Calls that stay until a person says `rejudge`. `wins` and `unmet` are states of a rollout or an order."""


@dataclass(frozen=True, slots=True)
class Version:
    """One model version as the registry tells it."""

    identity: Identity
    status: Status
    artifact_uri: str
    run_id: str | None = None
    tags: Mapping[str, str] = NOTHING
    call: Call | None = None
    """What the version tag `watcher.verdict` says, None without the tag."""
    rejudge: bool = False
    """Whether a person wrote `watcher.rejudge` on it."""
    registry: str = ""
    """Where the registry is, without secrets; empty where that is not known."""

    @property
    def number(self) -> int:
        return self.identity.version


@dataclass(frozen=True, slots=True)
class Gone:
    """A direct get said that this version does not exist."""

    version: int


@dataclass(frozen=True, slots=True)
class Crown:
    """The model tag `watcher.crown`: what the loop last acknowledged as champion. Always written whole."""

    crowned: int | None = None
    previous: int | None = None
    """What every target served before; where targets return to when an order cannot be met."""
    floor: int = 0
    """Only versions above it may be nominated."""
    met: bool = True
    """Whether every target was seen whole on `crowned` since it was acknowledged."""
    n: int = 0
    """Rises by one with every write; a lower one than remembered is a stale read."""
    displaced: int | None = None
    """The version that the last order replaced, None after a crowning by the loop."""


@dataclass(frozen=True, slots=True)
class Marks:
    """All marks of one model, from one read."""

    name: str
    champion: int | None = None
    challenger: int | None = None
    crown: Crown | None = None
    hold: str | None = None
    """Who or why, where a person holds the model."""
    newest: int = 0
    """Highest version number that the same read showed, 0 where it shows none."""
    exists: bool = True
    renamed_to: str | None = None
    problem: str | None = None
    """Why the crown tag cannot be read (`crown` is then None), None where it can or is not there."""


@dataclass(frozen=True, slots=True)
class Change:
    """A model that the change poll found, with the time it was last touched (milliseconds)."""

    name: str
    updated_ms: int


# Evidence


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured number, with where it came from."""

    value: float
    origin: str
    """For example `logged model m-…` or `run 1f…`."""
    dataset: str | None = None
    digest: str | None = None
    problem: str | None = None
    """Why the number cannot be trusted (two sources disagree, not finite …), None where it can."""


class Artifacts(StrEnum):
    """What the storage confirms of a version's files."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a signature: `name` is None for an unnamed tensor or column."""

    name: str | None
    type: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, as logged with it."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...] | None = None
    params: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A request body in MLflow's scoring protocol."""

    body: bytes
    content_type: str = "application/json"
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class EvidenceOf:
    """Everything known about one version that the rules look at."""

    identity: Identity
    artifacts: Artifacts = Artifacts.PRESENT
    metrics: Mapping[str, Metric] = NOTHING
    signature: Signature | None = None
    requirements: tuple[str, ...] = ()
    python: str | None = None
    mlflow: str | None = None
    flavors: tuple[str, ...] = ()
    example: Example | None = None
    problem: str | None = None
    """A sentence where the evidence itself could not be read as what it claims to be."""


# Judging


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule said of one version."""

    rule: str
    call: Call
    """WINS where the rule has no objection; else LOSES, INVALID, WAITS or SUPERSEDED."""
    reason: str
    """A code of `reasons.REASONS`."""
    measured: str = ""
    bound: str = ""
    detail: str = ""
    until: float | None = None
    """When the finding may change by time alone, None where it may not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One call with one finding per rule that was asked."""

    identity: Identity
    call: Call
    reason: str
    findings: tuple[Finding, ...] = ()
    score: float | None = None
    """The primary metric, turned so that higher is better; it orders several winners."""
    until: float | None = None


# Targets


class Kind(StrEnum):
    """The shape of a target: what `serving` means there."""

    ENDPOINT = "endpoint"
    BATCH = "batch"
    STREAM = "stream"


class State(StrEnum):
    """State of one release on one target."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Target:
    """One place where one model is served."""

    name: str
    kind: str
    """The key of `deployers.KINDS`, for example `local-endpoint`."""
    shape: Kind
    model: str
    owner: str
    place: str
    """What makes two targets the same place, for example `local-endpoint:127.0.0.1:5001`."""
    settings: Mapping[str, Any] = field(default=NOTHING, repr=False)
    """Of the kind, filled in; may hold what came from the environment, so it is never part of a message."""

    @property
    def key(self) -> str:
        return f"{self.model}/{self.name}"


@dataclass(frozen=True, slots=True)
class Release:
    """One version on one target. The name is a pure function of the identity."""

    target: Target
    name: str
    version: Version


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one release answered since the target's token last changed."""

    requests: int = 0
    errors: int = 0
    """Every answer but a 200."""
    p95_ms: float | None = None
    available: bool = True
    """False where the provider could not say: inconclusive, never zero."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What one release answered to copies of live requests since the target's token last changed; no client saw it."""

    release: str
    percent: int
    traffic: Traffic = Traffic()
    dropped: int = 0
    """Copies that were never sent: too large, or the release too slow for so many."""
    compared: int = 0
    """Answers that could be compared with what the client was given; 0 where the target compares none."""
    disagreed: int = 0

    @property
    def figures(self) -> dict[str, int | float | None]:
        """JSON values of all but the release; None for what the target cannot tell."""
        told = self.traffic.available
        return {
            "percent": self.percent,
            "requests": self.traffic.requests if told else None,
            "errors": self.traffic.errors if told else None,
            "p95_ms": self.traffic.p95_ms,
            "compared": self.compared,
            "disagreed": self.disagreed,
            "dropped": self.dropped,
        }


@dataclass(frozen=True, slots=True)
class Wrote:
    """What a job wrote with one release, since it first ran it."""

    rows: int | None
    """None where nobody counts them."""
    since: float
    until: float
    where: str = ""
    """The output: a table, or the folder of the runs' folders."""
    folders: tuple[str, ...] = ()
    """Of batch runs, the newest."""
    commits: tuple[int, int] | None = None
    """First and last version of an output table; others may lie between them."""


@dataclass(frozen=True, slots=True)
class SeenRelease:
    """One release as observed on its target."""

    name: str
    version: int
    key: str
    """`Identity.key` from the owner tag, empty for a foreign release."""
    state: State
    ours: bool = True
    detail: str = ""
    """Why it failed, or how far it is, in the target's own words."""
    traffic: Traffic = Traffic()
    wrote: Wrote | None = None
    """Of a job, where it said so."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One target as it is."""

    releases: tuple[SeenRelease, ...] = ()
    weights: Mapping[str, int] = NOTHING
    """Release name -> percent, only those above zero. A pointer is a weight of 100."""
    token: str = ""
    """Changes with every write to the target."""
    adopted: bool = True
    """False where a foreign release is live and no person said `adopt`."""
    problem: str | None = None
    """Why the target cannot be moved at all (another owner, another model), None where it can."""
    moving: bool = False
    """Whether a change that was accepted is under way: until it is through, nothing else can be changed."""
    mirrored: Mirrored | None = None
    """What the live requests are copied to, None where they are not."""
    delayed: bool = False
    """Whether weights take effect some time after they were written; they are told once they are seen."""

    def release(self, name: str) -> SeenRelease | None:
        return next((r for r in self.releases if r.name == name), None)

    def copies(self, name: str) -> Mirrored | None:
        """What a release without traffic answered to copies of live requests, None where it gets none."""
        found = self.mirrored
        return found if found is not None and found.release == name and not self.weights.get(name) else None


@dataclass(frozen=True, slots=True)
class Unseen:
    """A target that could not be observed: nothing is known, so nothing may be concluded."""

    why: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """What a release answered to the example."""

    ok: bool
    version: int | None = None
    """Which version answered, read back from the answer."""
    detail: str = ""
    ms: float | None = None


# Settings of a rollout (the judge's policy is in judge/policy.py)


@dataclass(frozen=True, slots=True)
class Analysis:
    """When a canary step is good enough."""

    min_requests: int = 200
    max_error_increase: float = 0.005
    """Share of requests, absolute, over the champion's."""
    max_p95_ratio: float = 1.5
    no_traffic: str = "wait"
    """`wait` for a person, or go on by `probe`."""
    max_disagreement: float | None = None
    """Share of the mirrored answers that may differ from the champion's, None: they are told and not judged."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a challenger goes to its targets; durations in seconds."""

    name: str = "default"
    canary: tuple[int, ...] = (10, 50, 100)
    bake: float = 900.0
    analysis: Analysis = field(default_factory=Analysis)
    probe_file: str | None = None
    """A file in MLflow's scoring format; None means the model's own example."""
    keep_warm: float = 86_400.0
    deadline: float = 7_200.0
    mirror: int = 0
    """Percent of an endpoint's requests that are copied to the challenger before its canary; 0: none."""


class Mode(StrEnum):
    """Whether winners are rolled out, or only named."""

    DEPLOY = "deploy"
    ADVISE = "advise"


# Steps


class Verb(StrEnum):
    """Everything the loop can do. One a wake-up."""

    WAIT = "wait"
    ACKNOWLEDGE = "acknowledge"
    WRITE_CROWN = "write_crown"
    TAG = "tag"
    EVALUATE = "evaluate"
    NOMINATE = "nominate"
    UNMARK = "unmark"
    CROWN = "crown"
    LAUNCH = "launch"
    PROBE = "probe"
    MIRROR = "mirror"
    SHIFT = "shift"
    RETIRE = "retire"


@dataclass(frozen=True, slots=True)
class Step:
    """One verb on one target or one mark in the registry."""

    verb: Verb
    target: str | None = None
    """Name of the target, None for a registry mark."""
    version: int | None = None
    release: str | None = None
    weights: Mapping[str, int] = NOTHING
    crown: Crown | None = None
    call: Call | None = None
    reason: str = ""
    detail: str = ""

    @property
    def slot(self) -> str:
        """Names the thing that is tried, so that attempts at the same thing are counted together."""
        what = self.release or self.version or ""
        if self.weights:
            what = ",".join(f"{name}={percent}" for name, percent in sorted(self.weights.items()))
        return f"{self.verb}:{self.target or ''}:{what}"
