"""What every evaluator must do: a module inherits both contracts and has a fixture `world`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from watcher.evaluations import Evaluate, Evaluated, Evaluation, Fault, Progress
from watcher.ports import Evaluator
from watcher.values import Version

WEAK, STRONG, BROKEN = 1, 2, 9
"""Versions: one that sees less of the signal, one that sees more, one that cannot score."""


class EvaluatorWorld(ABC):
    """An evaluator and what lies behind it. Nothing was evaluated yet."""

    evaluator: Evaluator
    rules: Evaluate
    """ROC AUC on rows that both models can score."""

    @abstractmethod
    def another(self) -> Evaluator:
        """A second watcher's evaluator, on the same everything."""

    @abstractmethod
    def version(self, number: int) -> Version:
        """The same number gives the same version."""

    @abstractmethod
    def begun(self) -> int:
        """How many evaluations were really begun."""

    @abstractmethod
    def change_data(self) -> None:
        """The holdout holds other rows from now on."""

    @abstractmethod
    def lose_data(self) -> None:
        """The holdout is not there any more."""

    @abstractmethod
    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Let time pass until it holds; fail where it never does."""

    def asked(self, challenger: int, champion: int | None) -> Evaluation:
        other = self.version(champion) if champion is not None else None
        return Evaluation(self.version(challenger), other, self.rules)

    def over(self, asked: Evaluation) -> Evaluated:
        """Begin it and wait for its end."""
        self.evaluator.start(asked)
        self.wait_until(lambda: self.evaluator.observe(asked).progress is not Progress.RUNNING)
        return self.evaluator.observe(asked)


class EvaluatorContract:
    """The life of one evaluation."""

    def test_what_was_never_begun_is_absent_and_looking_begins_nothing(self, world: EvaluatorWorld) -> None:
        asked = world.asked(STRONG, WEAK)
        assert [world.evaluator.observe(asked).progress for _ in range(3)] == [Progress.ABSENT] * 3
        assert world.begun() == 0

    def test_both_are_scored_on_the_same_rows_once_and_other_rows_are_another(self, world: EvaluatorWorld) -> None:
        asked = world.asked(STRONG, WEAK)
        seen = world.over(asked)
        assert seen.progress is Progress.DONE, seen
        found = seen.comparison
        assert found is not None
        score = found.of("roc_auc")
        assert score is not None
        both = score.challenger, score.champion
        gained = score.low, score.gain, score.high
        assert None not in both + gained
        mine, theirs = map(float, filter(None, both))
        low, gain, high = map(float, filter(None, gained))
        assert gain == pytest.approx(mine - theirs)
        assert gain > 0
        assert low < gain < high
        assert (found.look, found.leak) == (1, "")
        assert found.rows > 0

        world.evaluator.start(asked)
        assert world.another().observe(asked) == seen
        assert world.begun() == 1

        world.change_data()
        assert world.evaluator.observe(asked).progress is Progress.ABSENT

    def test_what_would_fail_is_told_before_anything_is_begun(self, world: EvaluatorWorld) -> None:
        assert world.evaluator.check(world.rules) == []
        world.lose_data()
        (problem,) = world.evaluator.check(world.rules)
        assert problem
        assert world.begun() == 0


class ScoringContract:
    """The rest of it, which takes more evaluations."""

    def test_each_challenger_is_one_look_at_the_rows_and_other_rows_are_looked_at_anew(
        self, world: EvaluatorWorld
    ) -> None:
        asked = world.asked(STRONG, WEAK)
        first, second = world.over(asked).comparison, world.over(world.asked(3, WEAK)).comparison
        assert first is not None
        assert second is not None
        assert [(each.look, each.data, each.rows) for each in (first, second)] == [
            (1, first.data, first.rows),
            (2, first.data, first.rows),
        ]
        world.change_data()
        anew = world.over(asked).comparison
        assert anew is not None
        assert anew.data != first.data
        assert anew.look == 1

    def test_begun_by_two_at_once_it_is_begun_once(self, world: EvaluatorWorld) -> None:
        asked = world.asked(STRONG, None)
        watchers = [world.evaluator, world.another()]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda each: each.start(asked), watchers))
        assert {each.observe(asked).progress for each in watchers} <= {Progress.RUNNING, Progress.DONE}
        world.wait_until(lambda: all(each.observe(asked).progress is Progress.DONE for each in watchers))
        assert world.begun() == 1
        found = world.evaluator.observe(asked).comparison
        assert found is not None
        assert found.look == 0
        assert found.changed is None

    @pytest.mark.parametrize(
        ("challenger", "champion", "fault"), [(BROKEN, None, Fault.CHALLENGER), (STRONG, BROKEN, Fault.CHAMPION)]
    )
    def test_a_model_that_cannot_score_is_to_blame_and_the_other_is_not(
        self, world: EvaluatorWorld, challenger: int, champion: int | None, fault: Fault
    ) -> None:
        seen = world.over(world.asked(challenger, champion))
        assert (seen.progress, seen.fault) == (Progress.FAILED, fault)
        assert seen.comparison is None
        assert seen.why
