"""Evaluations on this machine, by the package `evaluation`: processes of their own, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from watcher.errors import Terminal, Transient
from watcher.evaluations import Comparison, Evaluate, Evaluated, Evaluation, Fault, Progress, Scored
from watcher.evaluators.requests import job_of
from watcher.text import secret_values, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluation.job import Job

FOLDER = "state/evaluations"
"""Below the folder of the settings."""
TRIALS = "state/trials"
"""The same, for what is only tried."""


class LocalEvaluator:
    """The port, on one folder. It raises Terminal where the settings ask for what cannot be."""

    lease = 30.0

    def __init__(self, folder: Path, tracking_uri: str | None, environ: Mapping[str, str], below: str = FOLDER) -> None:
        from evaluation.local import Local

        self._local, self._tracking_uri, self._folder = Local(folder / below), tracking_uri, folder
        self._secrets = secret_values(environ)

    def start(self, evaluation: Evaluation) -> None:
        from evaluation.errors import EvaluationFailed, Impossible

        try:
            self._local.start(self.job(evaluation))
        except EvaluationFailed as error:
            raise Transient(self._safe(str(error))) from error
        except Impossible as error:
            raise Terminal(self._safe(str(error))) from error

    def observe(self, evaluation: Evaluation) -> Evaluated:
        from evaluation.errors import EvaluationFailed, Impossible

        try:
            seen = self._local.observe(self.job(evaluation))
        except (EvaluationFailed, Impossible) as error:
            return Evaluated(Progress.FAILED, why=self._safe(str(error)))
        comparison = comparison_of(seen.result) if seen.result is not None else None
        return Evaluated(Progress(seen.state), seen.since, self._safe(seen.why), Fault(seen.fault), comparison)

    def job(self, evaluation: Evaluation) -> Job:
        """The request in the runner's own terms."""
        return job_of(evaluation, self._uri(evaluation.rules.data.uri), self._tracking_uri)

    def check(self, rules: Evaluate) -> Sequence[str]:
        """What would fail: nothing but the holdout is anywhere else."""
        from evaluation.data import look
        from evaluation.errors import EvaluationFailed, Impossible
        from evaluation.job import Source

        data = rules.data
        try:
            look(Source(self._uri(data.uri), data.format, data.version), self._tracking_uri)
        except (EvaluationFailed, Impossible) as error:
            return [self._safe(str(error))]
        return []

    def _uri(self, uri: str) -> str:
        local = "://" not in uri and not uri.startswith("runs:/")
        return str(self._folder / uri) if local else uri

    def _safe(self, text: str) -> str:
        return without_secrets(text, self._secrets)


def comparison_of(found: Mapping[str, Any]) -> Comparison:
    """What the runner wrote down, as values."""
    return Comparison(
        data=found["data"],
        rows=found["rows"],
        scores=tuple(Scored(**each) for each in found["scores"]),
        level=found["level"],
        look=found["look"],
        seconds=found["seconds"],
        table_version=found["table_version"],
        changed=found["changed"],
        leak=found["leak"],
        overlap=found["overlap"],
        leak_unknown=found["leak_unknown"],
    )
