"""Evaluations begun on this machine, by the package `evaluation`: processes of their own, or a Spark; in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from watcher.errors import Terminal, Transient
from watcher.evaluations import Evaluate, Evaluated, Evaluation, Fault, Progress
from watcher.evaluators.requests import SPARK, job_of, master_of
from watcher.evaluators.results import comparison_of
from watcher.text import secret_values, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluation.job import Job

FOLDER = "state/evaluations"
"""Below the folder of the settings."""
TRIALS = "state/trials"
"""The same, for what is only tried."""
FUNCTIONS = "FUNCTIONS_WORKER_RUNTIME"
REFUSED = (
    "The runner spark does not score in Azure Functions, where there is no Java and processes end with their instance:"
    " write runner: databricks or azureml, or watch this model from a machine that stays up."
)


class LocalEvaluator:
    """The port, on one folder. It raises Terminal where the settings ask for what cannot be."""

    lease = 30.0

    def __init__(self, folder: Path, tracking_uri: str | None, environ: Mapping[str, str], below: str = FOLDER) -> None:
        from evaluation.local import Local

        self._local, self._tracking_uri, self._folder = Local(folder / below), tracking_uri, folder
        self._secrets, self._hosted = secret_values(environ), bool(environ.get(FUNCTIONS))

    def start(self, evaluation: Evaluation) -> None:
        from evaluation.errors import EvaluationFailed, Impossible

        if self._refused(evaluation.rules):
            raise Terminal(REFUSED)
        try:
            self._local.start(self.job(evaluation))
        except EvaluationFailed as error:
            raise Transient(self._safe(str(error))) from error
        except Impossible as error:
            raise Terminal(self._safe(str(error))) from error

    def observe(self, evaluation: Evaluation) -> Evaluated:
        from evaluation.errors import EvaluationFailed, Impossible

        rules = evaluation.rules
        if self._refused(rules):
            return Evaluated(Progress.FAILED, why=REFUSED)
        try:
            seen = self._local.observe(self.job(evaluation))
            comparison = comparison_of(seen.result, rules) if seen.result is not None else None
        except (EvaluationFailed, Impossible) as error:
            return Evaluated(Progress.FAILED, why=self._safe(str(error)))
        except ValueError:
            return Evaluated(Progress.FAILED, why=f"A result below {self._local.home} is damaged: remove it.")
        return Evaluated(Progress(seen.state), seen.since, self._safe(seen.why), Fault(seen.fault), comparison)

    def job(self, evaluation: Evaluation) -> Job:
        """The request in the runner's own terms."""
        return job_of(evaluation, self._uri(evaluation.rules.data.uri), self._tracking_uri)

    def check(self, rules: Evaluate) -> Sequence[str]:
        """What would fail: nothing but the holdout, and a Spark, is anywhere else."""
        from evaluation.data import look
        from evaluation.errors import EvaluationFailed, Impossible
        from evaluation.job import Source
        from evaluation.spark import missing

        if self._refused(rules):
            return [REFUSED]
        if rules.runner == SPARK and (problem := missing(master_of(rules))):
            return [problem]
        data = rules.data
        try:
            look(Source(self._uri(data.uri), data.format, data.version), self._tracking_uri)
        except (EvaluationFailed, Impossible) as error:
            return [self._safe(str(error))]
        return []

    def _refused(self, rules: Evaluate) -> bool:
        return self._hosted and rules.runner == SPARK

    def _uri(self, uri: str) -> str:
        local = "://" not in uri and not uri.startswith("runs:/")
        return str(self._folder / uri) if local else uri

    def _safe(self, text: str) -> str:
        return without_secrets(text, self._secrets)
