"""Evaluations on this machine keep the contract, with real models in processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.evaluator_suite import STRONG, EvaluatorContract, ScoringContract
from tests.contract.local_evaluations import LocalWorld
from watcher.evaluations import Evaluated, Progress
from watcher.evaluators.local import FOLDER


@pytest.fixture
def world(tmp_path: Path) -> LocalWorld:
    return LocalWorld(tmp_path)


class TestLocalEvaluator(EvaluatorContract):
    """The life of one evaluation."""


@pytest.mark.long
class TestLocalEvaluatorAtLength(ScoringContract):
    """The rest of it."""


def test_a_result_that_is_damaged_is_told_and_says_nothing_about_a_model(world: LocalWorld, tmp_path: Path) -> None:
    asked = world.asked(STRONG, None)
    assert world.over(asked).progress is Progress.DONE
    (result,) = (tmp_path / FOLDER / "results").glob("*.json")
    result.write_text('{"state": "done", "at": 1.0, "rows": -1}')
    why = f"A result below {tmp_path / FOLDER} is damaged: remove it."
    assert world.evaluator.observe(asked) == Evaluated(Progress.FAILED, why=why)
