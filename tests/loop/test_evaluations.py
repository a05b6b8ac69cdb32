"""Evaluations as steps of the loop: started once, observed, never awaited."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.loop.world import EVALUATED, MODEL, World
from watcher.errors import Transient
from watcher.policy import Policy
from watcher.values import Call, Mode, Verb


@pytest.fixture
def world() -> World:
    """v1 reigns with 0.80 on the holdout."""
    made = World(policy=EVALUATED)
    made.evaluator.truth[1] = 0.8
    made.crowned(0.8)
    return made


def verdicts(world: World, version: int) -> list[str]:
    """What the history says of a version's verdicts, in order."""
    return [
        f"{(line.data or {}).get('call')}:{line.reason}" for line in world.lines("verdict") if line.version == version
    ]


def starts(world: World, version: int) -> int:
    """How many evaluations of a version were ever begun."""
    found = world.registry.version(MODEL, version)
    return sum(challenger == found.identity.key for _, challenger, _ in world.evaluator.starts)  # type: ignore[union-attr]


def test_a_version_that_is_better_on_the_holdout_is_crowned_whatever_it_logged(world: World) -> None:
    world.evaluator.truth[2] = 0.85
    world.train(0.51)
    world.rest()
    assert world.champion() == 2
    assert verdicts(world, 2) == ["waits:evaluation_awaited", "wins:beats_champion"]


def test_a_version_that_only_claims_to_be_better_loses(world: World) -> None:
    world.evaluator.truth[2] = 0.7
    world.train(0.99)
    world.rest()
    assert world.champion() == 1
    assert world.call(2) is Call.LOSES


def test_a_gain_that_is_not_certain_does_not_win(world: World) -> None:
    world.evaluator.truth[2], world.evaluator.width = 0.805, 0.01
    world.train(0.9)
    world.rest()
    assert world.call(2) is Call.LOSES
    assert verdicts(world, 2)[-1] == "loses:gain_not_certain"


def test_a_wake_up_never_waits_for_an_evaluation(world: World) -> None:
    world.evaluator.truth[2], world.evaluator.seconds = 0.85, 86_400.0
    world.train(0.9)
    began = world.now
    woken = [world.wake() for _ in range(20)]
    assert world.now - began < 1.0
    assert [w.step.verb for w in woken if w.acted] == [Verb.EVALUATE]
    assert (woken[-1].step.reason, woken[-1].step.detail) == ("evaluating", "v2")
    assert world.serving() == {1: 100}


def test_an_evaluation_is_begun_once_however_often_the_model_is_woken(world: World) -> None:
    world.evaluator.truth[2] = 0.85
    world.train(0.9)
    for _ in range(100):
        world.wake()
    world.rest()
    assert starts(world, 2) == 1


def test_an_evaluation_survives_a_wiped_ledger_and_is_not_begun_again(world: World) -> None:
    world.evaluator.truth[2] = 0.85
    world.train(0.9)
    while starts(world, 2) == 0:
        world.wake()
    world.ledger.wipe()
    world.rest()
    assert starts(world, 2) == 1
    assert world.champion() == 2


def test_one_evaluation_of_a_model_runs_at_a_time_the_newest_version_first(world: World) -> None:
    world.evaluator.truth.update({2: 0.7, 3: 0.7, 4: 0.85})
    for _ in range(3):
        world.train(0.9)
    loop, running = world.worker(), []
    while world.champion() != 4:
        woken = world.wake(loop)
        at = [key for key, since in world.evaluator.begun.items() if since + world.evaluator.seconds > world.now]
        running.append(len(at))
        if not woken.acted:
            world.now = max(world.now, woken.again or world.now)
    assert max(running) == 1
    assert world.evaluator.starts[1][1].startswith("4-")


def test_a_version_that_cannot_be_scored_is_invalid_and_the_champion_keeps_serving(world: World) -> None:
    world.evaluator.broken[2] = "the model ended by signal 9"
    world.train(0.9)
    world.rest()
    assert world.call(2) is Call.INVALID
    assert verdicts(world, 2)[-1] == "invalid:evaluation_failed"
    assert world.serving() == {1: 100}


def test_a_champion_that_cannot_be_scored_keeps_serving_and_the_version_waits(world: World) -> None:
    world.evaluator.broken[1] = "no such column: age"
    world.train(0.9)
    world.rest(until=world.now + 600)
    assert world.call(2) is None
    assert verdicts(world, 2)[-1] == "waits:champion_not_evaluated"
    assert world.serving() == {1: 100}


def test_data_that_cannot_be_read_says_nothing_about_the_version(world: World) -> None:
    world.evaluator.out = "holdout.parquet is not there"
    world.train(0.9)
    world.rest(until=world.now + 600)
    assert world.call(2) is None
    assert verdicts(world, 2)[-1] == "waits:evaluation_impossible"


def test_a_holdout_that_the_version_was_trained_on_makes_it_invalid(world: World) -> None:
    world.evaluator.truth[2], world.evaluator.leaks[2] = 0.99, "its run logged the holdout as training data"
    world.train(0.9)
    world.rest()
    assert verdicts(world, 2)[-1] == "invalid:evaluated_on_training_data"


def test_an_evaluator_that_is_out_is_asked_again_later(world: World) -> None:
    world.evaluator.truth[2] = 0.85
    world.evaluator.faults.fail("evaluated", Transient("no room"), times=5)
    world.evaluator.faults.fail("start", Transient("no room"), times=2)
    world.train(0.9)
    for _ in range(10):
        world.rest()
        world.now += 5.0
    assert world.champion() == 2


def test_both_are_scored_again_when_the_data_changed(world: World) -> None:
    world.evaluator.truth[2] = 0.85
    version = world.train(0.9)
    while starts(world, version) == 0:
        world.wake()
    world.evaluator.change_data("data-2")
    world.rest()
    assert [data for _, _, data in world.evaluator.starts][-2:] == ["data-1", "data-2"]
    assert world.champion() == 2


def test_looks_at_a_holdout_are_remembered_where_the_evaluator_lost_its_count(world: World) -> None:
    for number in (2, 3, 4):
        world.evaluator.truth[number] = 0.7
        world.train(0.9)
        world.rest()
    world.evaluator.looks.clear()
    world.evaluator.truth[5] = 0.85
    world.train(0.9)
    world.rest()
    assert world.evaluator.looks["data-1"].index(world.evaluator.starts[-1][1]) + 1 == 4


def test_what_loses_anyway_is_not_scored(world: World) -> None:
    world.policy = replace(EVALUATED, floors={"auc": 0.95})
    world.train(0.9)
    world.rest()
    assert world.call(2) is Call.LOSES
    assert starts(world, 2) == 0


def test_advice_is_given_on_what_was_measured(world: World) -> None:
    world.mode = Mode.ADVISE
    world.evaluator.truth[2] = 0.85
    world.train(0.6)
    world.rest()
    assert verdicts(world, 2)[-1] == "wins:beats_champion"
    assert world.champion() == 1


def test_a_host_that_cannot_evaluate_keeps_the_version_waiting_and_heals_the_champion(world: World) -> None:
    world.evaluates = False
    world.train(0.9)
    world.rest()
    assert verdicts(world, 2) == ["waits:evaluation_unseen"]
    world.deployer.meddle(world.targets[0], {})
    world.rest()
    assert world.serving() == {1: 100}


def test_without_an_evaluation_in_the_policy_the_evaluator_is_never_asked() -> None:
    world = World()
    world.crowned(0.8)
    world.crowned(0.9)
    assert world.policy == Policy(world.policy.primary, floors={"auc": 0.5}, signature=False)
    assert world.evaluator.faults.calls == []
