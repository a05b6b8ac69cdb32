"""Each policy's own runner behind one evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from watcher.evaluations import Evaluate, Evaluated, Evaluation
from watcher.ports import Evaluator


class ByRunner:
    """The port, on the evaluators of all runners that the settings name."""

    def __init__(self, evaluators: Mapping[str, Evaluator]) -> None:
        self._evaluators = evaluators
        self.lease = max(each.lease for each in evaluators.values())

    def start(self, evaluation: Evaluation) -> None:
        self._evaluators[evaluation.rules.runner].start(evaluation)

    def observe(self, evaluation: Evaluation) -> Evaluated:
        return self._evaluators[evaluation.rules.runner].observe(evaluation)

    def check(self, rules: Evaluate) -> Sequence[str]:
        return self._evaluators[rules.runner].check(rules)
