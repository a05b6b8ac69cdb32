"""A small world to judge in: version 2 is champion with an AUC of 0.840, version 3 the candidate with 0.850."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from watcher.evaluations import Evaluated
from watcher.policy import Policy, Primary
from watcher.record import Record
from watcher.settings import Watched
from watcher.snapshot import Snapshot
from watcher.values import (
    NOTHING,
    Column,
    Crown,
    EvidenceOf,
    Gone,
    Identity,
    Kind,
    Marks,
    Metric,
    Mode,
    Rollout,
    Signature,
    Status,
    Target,
    Version,
)

NOW = 1_000_000.0
HOUR = 3_600.0
MODEL = "prod.risk.churn"
SIGNATURE = Signature(
    inputs=(Column("age", "long"), Column("income", "double"), Column("note", "string", required=False)),
    outputs=(Column(None, "double"),),
    params=(Column("threshold", "float"),),
)


def version(number: int, **changes: Any) -> Version:
    """Version `number`, made that many hours after the first tick, ready and untagged."""
    identity = Identity(MODEL, number, int(number * HOUR * 1000), f"models:/m-{number}")
    return replace(Version(identity, Status.READY, f"file:///models/{number}"), **changes)


def evidence(number: int, metrics: Mapping[str, Metric | float], **changes: Any) -> EvidenceOf:
    """Complete evidence of version `number`; plain numbers come from the same data set."""
    whole = {
        name: Metric(value, f"run {number}", "holdout", "d1") if isinstance(value, float) else value
        for name, value in metrics.items()
    }
    known = EvidenceOf(
        version(number).identity,
        metrics=whole,
        signature=SIGNATURE,
        requirements=("mlflow==3.15.0", "numpy==2.3.0"),
        python="3.11.7",
        flavors=("python_function", "sklearn"),
    )
    return replace(known, **changes)


def target(name: str = "api", **settings: Any) -> Target:
    return Target(name, "local-endpoint", Kind.ENDPOINT, MODEL, "test", f"local-endpoint:{name}", settings)


@dataclass(frozen=True)
class World:
    """What a snapshot is made of; the defaults are a candidate that wins."""

    policy: Policy = Policy(Primary("auc", min_gain=0.002))
    candidate: Version = field(default_factory=lambda: version(3))
    known: EvidenceOf | None = field(default_factory=lambda: evidence(3, {"auc": 0.85}))
    champion: Version | Gone | None = field(default_factory=lambda: version(2))
    champion_known: EvidenceOf | None = field(default_factory=lambda: evidence(2, {"auc": 0.84}))
    crown: Crown | None = Crown(crowned=2, floor=1)
    mark: int | None = 2
    challenger: int | None = None
    hold: str | None = None
    exists: bool = True
    record: Record = Record(born=0.0)
    targets: tuple[Target, ...] = ()
    others: Mapping[int, Version | Gone] = NOTHING
    evaluated: Evaluated | None = None

    def snapshot(self) -> Snapshot:
        versions: dict[int, Version | Gone] = {self.candidate.number: self.candidate, **self.others}
        known = {self.candidate.number: self.known} if self.known else {}
        if self.champion is not None and self.mark is not None:
            versions[self.mark] = self.champion
            if self.champion_known:
                known[self.mark] = self.champion_known
        return Snapshot(
            watched=Watched(MODEL, Mode.DEPLOY, self.policy, Rollout(), self.targets),
            record=self.record,
            marks=Marks(MODEL, self.mark, self.challenger, self.crown, self.hold, exists=self.exists),
            targets=(),
            versions=versions,
            evidence=known,
            evaluations={self.candidate.number: self.evaluated} if self.evaluated else NOTHING,
        )


def first(**changes: Any) -> World:
    """A world in which nothing was ever crowned."""
    return replace(World(champion=None, champion_known=None, crown=None, mark=None), **changes)
