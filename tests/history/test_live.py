"""What was live where at any moment, and why."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from watcher.fakes.ledger import FakeLedger
from watcher.history import explain, live_at, read_live, timeline
from watcher.ports import Line


def live(at: float, target: str, **weights: int) -> Line:
    shares = {name.removeprefix("v"): share for name, share in weights.items()}
    return Line(at, "churn", "live", target, data={"weights": shares})


def event(at: float, name: str, version: int | None = None, target: str | None = None, **data: Any) -> Line:
    return Line(at, "churn", name, target, version, data=data)


VERDICT = event(5, "verdict", 12, call="wins")
START = event(10, "rollout_started", 12)
PROBE = event(10.5, "done", 12, "api", verb="probe")
CANARY = event(11, "done", 12, "api", verb="shift", weights={"r11": 90, "r12": 10})
BACK = event(30, "rolled_back", 12, reason="too_many_errors")
ORDER = event(50, "order", 9)
LINES = [
    live(1, "api", v11=100),
    live(2, "nightly", v11=100),
    VERDICT,
    event(6, "verdict", 13, call="loses"),
    START,
    PROBE,
    CANARY,
    live(11, "api", v11=90, v12=10),
    BACK,
    event(31, "done", 11, "api", verb="shift", weights={"r11": 100}),
    live(31, "api", v11=100),
    ORDER,
    live(51, "api", v9=100),
    live(60, "nightly", v9=100),
    Line(15.0, "other", "live", "api", data={"weights": {"1": 100}}),
]


def weights(at: float) -> dict[str, dict[str, int]]:
    return {target: dict(found.weights) for target, found in live_at(LINES, "churn", at).items()}


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (0.5, {}),
        (1, {"api": {"11": 100}}),
        (10.9, {"api": {"11": 100}, "nightly": {"11": 100}}),
        (11, {"api": {"11": 90, "12": 10}, "nightly": {"11": 100}}),
        (30.5, {"api": {"11": 90, "12": 10}, "nightly": {"11": 100}}),
        (31, {"api": {"11": 100}, "nightly": {"11": 100}}),
        (55, {"api": {"9": 100}, "nightly": {"11": 100}}),
        (1e12, {"api": {"9": 100}, "nightly": {"9": 100}}),
    ],
)
def test_at_a_moment_this_was_live(at: float, expected: dict[str, dict[str, int]]) -> None:
    assert weights(at) == expected


def test_a_canary_is_explained_by_its_step_its_rollout_and_the_verdict() -> None:
    assert live_at(LINES, "churn", 20)["api"].because == (CANARY, START, VERDICT)


def test_what_came_back_is_explained_by_the_roll_back() -> None:
    assert BACK in live_at(LINES, "churn", 40)["api"].because


def test_what_a_person_ordered_is_explained_by_the_order() -> None:
    assert live_at(LINES, "churn", 55)["api"].because == (ORDER,)


def test_a_later_decision_does_not_explain_what_was_live_before_it() -> None:
    assert ORDER not in live_at(LINES, "churn", 50.5)["api"].because


def test_the_timeline_has_each_state_with_its_beginning_and_end() -> None:
    spans = [(span.target, dict(span.weights), span.since, span.until) for span in timeline(LINES, "churn")]
    assert spans == [
        ("api", {"11": 100}, 1, 11),
        ("nightly", {"11": 100}, 2, 60),
        ("api", {"11": 90, "12": 10}, 11, 31),
        ("api", {"11": 100}, 31, 51),
        ("api", {"9": 100}, 51, None),
        ("nightly", {"9": 100}, 60, None),
    ]


def test_lines_may_come_newest_first() -> None:
    same = [line for line in LINES if line.model == "churn"]
    assert timeline(list(reversed(same)), "churn") == timeline(same, "churn")


def test_an_emptied_target_is_shown_as_serving_nothing() -> None:
    found = live_at([live(1, "api", v1=100), live(2, "api")], "churn", 3)["api"]
    assert found.weights == {}
    assert explain(found) == ("churn: api now serves nothing.",)


def test_a_line_whose_weights_are_damaged_counts_as_nothing_live() -> None:
    damaged = Line(1.0, "churn", "live", "api", data={"unreadable": True})
    assert live_at([damaged], "churn", 2)["api"].weights == {}


def test_the_ledger_is_asked_for_the_same_answer() -> None:
    ledger = FakeLedger()
    ledger.save("churn", {}, None, LINES)
    for at in (0.5, 1, 10.9, 11, 20, 31, 40, 50.5, 51, 55, 60, 1e9):
        assert read_live(ledger, "churn", at) == live_at(LINES, "churn", at)


def test_a_target_that_has_not_changed_for_long_is_found_by_its_name() -> None:
    ledger = FakeLedger()
    busy = [live(float(at), "busy", v1=at % 100) for at in range(10, 2010)]
    ledger.save("churn", {}, None, [live(1, "quiet", v7=100), *busy])
    assert "quiet" not in read_live(ledger, "churn", 5000)
    assert read_live(ledger, "churn", 5000, ["quiet", "unknown"])["quiet"].weights == {"7": 100}


def test_a_verdict_that_came_long_before_its_rollout_is_still_a_reason() -> None:
    ledger = FakeLedger()
    won = Line(1.0, "churn", "verdict", version=7, data={"call": "wins", "reason": "better"})
    others = [Line(float(at), "churn", "verdict", version=at, data={"call": "waits"}) for at in range(10, 400)]
    decided = Line(500.0, "churn", "rollout_started", version=7)
    ledger.save("churn", {}, None, [won, *others, decided, live(501, "api", v7=100)])
    assert won in read_live(ledger, "churn", 600.0)["api"].because


class Counting(FakeLedger):
    lines = 0

    def history(self, *about: Any, **more: Any) -> Sequence[Line]:
        found = super().history(*about, **more)
        self.lines += len(found)
        return found


def test_the_lines_that_are_read_are_few_however_long_the_history_is() -> None:
    read = []
    for rollouts in (300, 1_200):
        ledger = Counting()
        lines = []
        for at in range(0, rollouts * 10, 10):
            version = at // 10
            lines += [
                Line(at + 1.0, "churn", "verdict", version=version, data={"call": "wins"}),
                Line(at + 2.0, "churn", "rollout_started", version=version),
                Line(at + 3.0, "churn", "done", "api", version, data={"verb": "shift"}),
                live(at + 4, "api", **{f"v{version}": 100}),
                Line(at + 5.0, "churn", "crowned", version=version),
            ]
        ledger.save("churn", {}, None, lines)
        assert read_live(ledger, "churn", 1e9)["api"].weights == {str(rollouts - 1): 100}
        read.append(ledger.lines)
    assert read[0] == read[1] < 300


def test_the_answer_at_a_moment_is_what_the_timeline_says_for_any_history() -> None:
    chance = random.Random(3)
    lines = [
        live(float(at), chance.choice(["a", "b", "c"]), **{f"v{chance.randint(1, 5)}": 100})
        for at in sorted(chance.sample(range(1000), 200))
    ]
    spans = timeline(lines, "churn")
    for at in range(0, 1000, 7):
        expected = {s.target: s.weights for s in spans if s.since <= at and (s.until is None or at < s.until)}
        assert {target: found.weights for target, found in live_at(lines, "churn", at).items()} == expected
