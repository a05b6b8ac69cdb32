"""A folder with settings and a holdout, and watchers that have models scored on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evaluation.store import Store
from tests.contract import real_models
from tests.contract.evaluator_suite import EvaluatorWorld
from watcher.evaluations import Evaluate, Holdout
from watcher.evaluators.local import FOLDER, LocalEvaluator
from watcher.values import Version


class LocalWorld(EvaluatorWorld):
    """A folder with settings and rows."""

    def __init__(self, folder: Path, runner: str = "local", timeout: float = 60.0) -> None:
        self._folder, self._patience = folder, 2 * timeout
        real_models.put(folder / "rows.parquet")
        self.rules = Evaluate(Holdout("rows.parquet"), "churned", ("roc_auc",), runner=runner, timeout=timeout)
        self.evaluator = self.another()

    def another(self) -> LocalEvaluator:
        return LocalEvaluator(self._folder, None, {})

    def version(self, number: int) -> Version:
        return real_models.version(number)

    def begun(self) -> int:
        return len([*Store(self._folder / FOLDER).home.glob("jobs/*.json")])

    def change_data(self) -> None:
        real_models.put_others(self._folder / "rows.parquet")

    def lose_data(self) -> None:
        (self._folder / "rows.parquet").unlink()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        real_models.wait_until(condition, self._patience)
