"""Which versions are judged at all, and what is explained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.judge.world import HOUR, NOW, World, evidence, first, version
from watcher.errors import UserError
from watcher.judge import explain, judge
from watcher.record import Record
from watcher.values import Artifacts, Call, Crown, Gone, Marks, Verdict

CALLED = [call for call in Call if call is not Call.WAITS]


def test_every_version_without_a_call_is_judged_the_intermediate_ones_too() -> None:
    world = World(crown=Crown(crowned=2, floor=2), others={4: version(4), 5: version(5)})
    assert set(judge(world.snapshot(), NOW)) == {3, 4, 5}


@pytest.mark.parametrize("call", CALLED)
def test_a_version_that_was_called_is_not_judged_again(call: Call) -> None:
    assert judge(World(candidate=version(3, call=call)).snapshot(), NOW) == {}


def test_the_champion_is_not_a_candidate() -> None:
    assert set(judge(World().snapshot(), NOW)) == {3}


def test_a_version_that_is_gone_is_not_a_candidate() -> None:
    assert set(judge(World(others={7: Gone(7)}).snapshot(), NOW)) == {3}


@pytest.mark.parametrize("call", [None, *CALLED])
def test_a_challenger_keeps_the_others_from_being_judged_and_is_judged_where_it_was_called_nothing(
    call: Call | None,
) -> None:
    world = World(challenger=3, candidate=version(3, call=call), others={4: version(4)})
    assert set(judge(world.snapshot(), NOW)) == ({3} if call is None else set())


LOST = {
    "the champion mark names a version that is gone": (World(champion=Gone(2)), "champion_gone"),
    "the champion was not read": (World(champion=None), "champion_gone"),
    "the champion mark is missing though one was crowned": (World(champion=None, mark=None), "champion_missing"),
    "the model is gone": (World(exists=False), "model_gone"),
}


@pytest.mark.parametrize(("world", "reason"), LOST.values(), ids=LOST.keys())
def test_nothing_is_judged_while(world: World, reason: str) -> None:
    assert judge(world.snapshot(), NOW) == {}
    verdict = explain(world.snapshot(), 3, NOW)
    assert verdict == Verdict(version(3).identity, Call.WAITS, reason)


def test_nothing_is_judged_while_the_crown_cannot_be_read() -> None:
    snapshot = first().snapshot()
    unreadable = replace(snapshot, marks=Marks(snapshot.marks.name, problem="it is not JSON"))
    assert judge(unreadable, NOW) == {}
    assert explain(unreadable, 3, NOW).reason == "crown_unreadable"


def test_a_crown_that_never_crowned_is_a_first_version() -> None:
    assert judge(first(crown=Crown(floor=2)).snapshot(), NOW)[3].reason == "first_version"


def test_a_champion_that_a_person_set_before_watching_began_is_compared_with() -> None:
    verdict = judge(World(crown=None, known=evidence(3, {"auc": 0.5})).snapshot(), NOW)[3]
    assert (verdict.call, verdict.reason) == (Call.LOSES, "gain_too_small")


@pytest.mark.parametrize("call", CALLED)
def test_a_called_version_can_be_explained(call: Call) -> None:
    young = World(replace(World().policy, min_age=NOW))
    verdict = explain(replace(young, candidate=version(3, call=call)).snapshot(), 3, NOW)
    assert verdict == judge(young.snapshot(), NOW)[3]


def test_the_champion_is_explained_by_comparison_with_itself() -> None:
    assert explain(World().snapshot(), 2, NOW).reason == "gain_too_small"


@pytest.mark.parametrize("number", [7, 9])
def test_a_version_that_was_not_read_cannot_be_explained(number: int) -> None:
    with pytest.raises(UserError, match=rf"prod\.risk\.churn has no version {number}"):
        explain(World(others={7: Gone(7)}).snapshot(), number, NOW)


def test_a_deadline_that_has_passed_is_not_looked_at_again() -> None:
    """What waits for a person or the storage changes by no time, whatever else was awaited before."""
    overdue = Record(born=0.0, first_seen={version(3).identity.key: NOW - 24 * HOUR})
    policy = replace(World().policy, floors={"f1": 0.1})
    world = World(policy, known=evidence(3, {"auc": 0.85}, artifacts=Artifacts.UNKNOWN), record=overdue)
    verdict = judge(world.snapshot(), NOW)[3]
    assert (verdict.reason, verdict.until) == ("artifacts_unknown", None)


def test_the_score_orders_winners_by_the_primary_metric() -> None:
    low, high = evidence(3, {"auc": 0.85}), evidence(4, {"auc": 0.9})
    world = World(known=low, others={4: version(4)})
    snapshot = replace(world.snapshot(), evidence={**world.snapshot().evidence, 4: high})
    verdicts = judge(snapshot, NOW)
    assert [(v.call, v.score) for v in verdicts.values()] == [(Call.WINS, 0.85), (Call.WINS, 0.9)]


def test_a_verdict_that_waits_says_the_earliest_time_at_which_it_may_change() -> None:
    late = replace(version(3).identity, created_ms=int((NOW - 60) * 1000))
    world = World(
        policy=replace(World().policy, min_age=600.0),
        candidate=version(3, identity=late),
        known=evidence(3, {}, identity=late),
    )
    verdict = judge(world.snapshot(), NOW)[3]
    assert (verdict.reason, verdict.until) == ("evidence_missing", NOW + 540)
    grown = judge(world.snapshot(), NOW + 540)[3]
    assert next(f.call for f in grown.findings if f.rule == "old_enough") is Call.WINS
    later = judge(world.snapshot(), NOW + HOUR)[3]
    assert (later.reason, later.until) == ("evidence_missing", NOW + HOUR + 24 * HOUR)
