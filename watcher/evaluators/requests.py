"""What a policy asks for, in the terms of the package `evaluation`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from watcher.values import Version

if TYPE_CHECKING:
    from evaluation.job import Job, Model
    from watcher.evaluations import Evaluate, Evaluation

SPARK = "spark"
"""The runner on a Spark of one's own."""


def job_of(evaluation: Evaluation, uri: str, tracking_uri: str | None) -> Job:
    """The request; `uri` says where the rows lie for whoever scores."""
    from evaluation.job import Job, Source

    rules = evaluation.rules
    return Job(
        challenger=_model(evaluation.challenger),
        champion=_model(evaluation.champion) if evaluation.champion else None,
        data=Source(uri, rules.data.format, rules.data.version),
        target=rules.target,
        metrics=rules.metrics,
        slices=tuple((each.column, each.min_rows) for each in rules.slices),
        group=rules.group,
        max_rows=rules.max_rows,
        max_overlap=rules.max_overlap,
        memory=rules.memory,
        timeout=rules.timeout,
        confidence=evaluation.confidence,
        looks=tuple(sorted(evaluation.looks.items())),
        tracking_uri=tracking_uri,
        master=master_of(rules) if rules.runner == SPARK else None,
    )


def master_of(rules: Evaluate) -> str:
    """The Spark that scores, by default one of its own on every core of this machine."""
    return str(rules.job.get("master", "local[*]"))


def _model(version: Version) -> Model:
    from evaluation.job import Model

    identity = version.identity
    text = "\x00".join((identity.name, str(identity.version), str(identity.created_ms), identity.source))
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Model(identity.name, identity.version, key, version.artifact_uri, version.run_id)
