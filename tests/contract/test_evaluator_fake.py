"""The fake evaluator keeps the contract that the real ones keep."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.evaluator_suite import BROKEN, STRONG, WEAK, EvaluatorContract, EvaluatorWorld, ScoringContract
from watcher.evaluations import Evaluate, Holdout
from watcher.fakes.evaluator import FakeEvaluator
from watcher.values import Identity, Status, Version


class FakeWorld(EvaluatorWorld):
    """Time passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.fake = FakeEvaluator(lambda: self.now)
        self.fake.truth.update({WEAK: 0.7, STRONG: 0.8, 3: 0.8})
        self.fake.broken[BROKEN] = "It crashed."
        self.evaluator = self.fake
        self.rules = Evaluate(Holdout("rows.parquet"), "churned", ("roc_auc",))

    def another(self) -> FakeEvaluator:
        return self.fake

    def version(self, number: int) -> Version:
        return Version(Identity("churn", number, 1_700 + number, "s"), Status.READY, "s")

    def begun(self) -> int:
        return len(self.fake.starts)

    def change_data(self) -> None:
        self.fake.change_data("data-2")

    def lose_data(self) -> None:
        self.fake.out = "The holdout is not there."

    def wait_until(self, condition: Callable[[], bool]) -> None:
        for _ in range(100):
            if condition():
                return
            self.now += self.fake.seconds
        pytest.fail("it never came to that")


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


class TestFakeEvaluator(EvaluatorContract):
    """The life of one evaluation."""


class TestFakeEvaluatorAtLength(ScoringContract):
    """The rest of it."""
