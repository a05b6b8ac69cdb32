"""The state of the fake registry: frozen values that share what did not change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from watcher.values import NOTHING, EvidenceOf, Identity, Marks, Metric, Signature, Version


@dataclass(frozen=True, slots=True)
class Model:
    """One registered model. Tags and aliases touch nothing: `updated_ms` is of versions coming, going, renamed."""

    marks: Marks
    versions: Mapping[int, Version]
    updated_ms: int
    highest: int
    """The highest number ever given: numbers of deleted versions are not used again."""

    def with_version(self, version: Version, updated_ms: int | None = None) -> Model:
        """With a version added (`updated_ms` says when) or replaced."""
        versions = {**self.versions, version.number: version}
        touched = self.updated_ms if updated_ms is None else updated_ms
        highest = max(self.highest, version.number)
        return Model(replace(self.marks, newest=max(versions)), versions, touched, highest)

    def without_version(self, number: int, updated_ms: int, *, aliases: bool) -> Model:
        """With a version deleted, and its aliases where `aliases` says so."""
        versions = {n: v for n, v in self.versions.items() if n != number}
        marks = replace(self.marks, newest=max(versions, default=0))
        if aliases:
            kept = {a: None if getattr(marks, a) == number else getattr(marks, a) for a in ("champion", "challenger")}
            marks = replace(marks, champion=kept["champion"], challenger=kept["challenger"])
        return Model(marks, versions, updated_ms, self.highest)


@dataclass(frozen=True, slots=True)
class World:
    """All models, and what is known about their versions."""

    models: Mapping[str, Model]
    evidence: Mapping[Identity, EvidenceOf] = NOTHING
    writes: int = 0
    """How many there were; it makes sources unlike, even where the clock stands still."""

    def with_model(self, model: Model) -> World:
        return World({**self.models, model.marks.name: model}, self.evidence)

    def without_model(self, name: str) -> World:
        evidence = {identity: known for identity, known in self.evidence.items() if identity.name != name}
        return World({n: m for n, m in self.models.items() if n != name}, evidence)

    def with_evidence(self, evidence: EvidenceOf) -> World:
        return World(self.models, {**self.evidence, evidence.identity: evidence})

    def renamed(self, model: Model, name: str, now_ms: int) -> World:
        """With a model under a new name; what is known about its versions moves with them."""
        versions = {n: replace(v, identity=replace(v.identity, name=name)) for n, v in model.versions.items()}
        moved = Model(replace(model.marks, name=name), versions, now_ms, model.highest)
        world = self.without_model(model.marks.name).with_model(moved)
        for number, version in model.versions.items():
            if version.identity in self.evidence:
                known = replace(self.evidence[version.identity], identity=versions[number].identity)
                world = world.with_evidence(known)
        return world


def evidence_of(
    identity: Identity, metrics: Mapping[str, float | Metric], signature: Signature | None, facts: Mapping[str, Any]
) -> EvidenceOf:
    """Evidence from plain numbers; numbers that are not finite carry a problem, as the real adapter gives them."""
    found = {key: value if isinstance(value, Metric) else measured(key, value) for key, value in metrics.items()}
    return EvidenceOf(identity, metrics=found, signature=signature, **facts)


def measured(key: str, value: float, dataset: str | None = None, digest: str | None = None) -> Metric:
    """One number as it would be read back."""
    problem = None if math.isfinite(value) else f"`{key}` is not a finite number"
    return Metric(value, "memory", dataset, digest, problem)
