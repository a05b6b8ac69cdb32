"""Evaluations on this machine keep the contract, with real models in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.store import Store
from tests.contract import real_models
from tests.contract.evaluator_suite import EvaluatorContract, EvaluatorWorld, ScoringContract
from watcher.evaluations import Evaluate, Holdout
from watcher.evaluators.local import FOLDER, LocalEvaluator
from watcher.values import Version


class LocalWorld(EvaluatorWorld):
    """A folder with settings and rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        real_models.put(folder / "rows.parquet")
        self.rules = Evaluate(Holdout("rows.parquet"), "churned", ("roc_auc",), timeout=60.0)
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
        real_models.wait_until(condition)


@pytest.fixture
def world(tmp_path: Path) -> LocalWorld:
    return LocalWorld(tmp_path)


class TestLocalEvaluator(EvaluatorContract):
    """The life of one evaluation."""


@pytest.mark.long
class TestLocalEvaluatorAtLength(ScoringContract):
    """The rest of it."""
