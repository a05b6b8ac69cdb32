"""What the ledger remembers of a step, field by field: of one that failed, that goes on, or that had its effect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.judge.world import MODEL, World, target, version
from watcher.decide.after import After, Failure, done, failed, pause, under_way
from watcher.errors import UnderWay
from watcher.ports import Line
from watcher.record import Attempts, Intent, Moved, Probed, Record
from watcher.snapshot import Snapshot, TargetView
from watcher.values import Call, Crown, Mirrored, Observed, Probe, SeenRelease, State, Step, Traffic, Verb

NOW = 1_000.0
ABOUT = {"worker": "w1", "seconds": 0.5}
LAUNCH = Step(Verb.LAUNCH, "api", 3, "v3", reason="launch")
SLOT = "launch:api:v3"
OTHER = Attempts(7, 1.0, "of another step")
RECORD = Record(0.0, intent=Intent("w1", 1_100.0, SLOT), attempts={"other": OTHER})
"""As it is while a step is taken."""
FREE = replace(RECORD, intent=None)


def snapshot(seen: Observed | None = None) -> Snapshot:
    """Version 3 beside champion 2; `api` was seen so."""
    view = TargetView(target("api"), seen or Observed())
    return replace(World().snapshot(), targets=(view,))


def told(event: str, step: Step, reason: str, **data: Any) -> Line:
    return Line(NOW, MODEL, event, step.target, step.version, reason, data | ABOUT)


def tried(count: int, **changes: Any) -> Record:
    return replace(FREE, attempts={"other": OTHER, SLOT: replace(Attempts(count, NOW), **changes)})


@pytest.mark.parametrize(
    ("failure", "before", "expected"),
    [
        (Failure("transient", "busy"), 0, Attempts(1, NOW + 0.5, "busy")),
        (Failure("transient", "busy"), 3, Attempts(4, NOW + 4.0, "busy")),
        (Failure("transient", "busy"), 30, Attempts(31, NOW + 600.0, "busy")),
        (Failure("transient", "busy", 9.0), 0, Attempts(1, NOW + 9.0, "busy")),
        (Failure("transient", "busy", 9.0), 9, Attempts(10, NOW + 256.0, "busy")),
        (Failure("terminal", "never"), 0, Attempts(1, NOW + 0.5, "never", terminal=True)),
        (Failure("conflict", "overtaken"), 2, Attempts(3, NOW, "overtaken")),
        (Failure("conflict", "overtaken"), 3, Attempts(4, NOW + 4.0, "overtaken")),
    ],
)
def test_a_step_that_failed_is_counted_and_says_when_it_may_be_tried_again(
    failure: Failure, before: int, expected: Attempts
) -> None:
    record = replace(RECORD, attempts={**RECORD.attempts, **({SLOT: Attempts(before, 0.0)} if before else {})})
    line = told(
        "failed", LAUNCH, failure.kind, verb="launch", slot=SLOT, release="v3", attempt=before + 1, detail=failure.why
    )
    after = failed(snapshot(), record, LAUNCH, failure, NOW, ABOUT)
    assert after == After(replace(FREE, attempts={"other": OTHER, SLOT: expected}), (line,), NOW)


@pytest.mark.parametrize(("before", "asked", "again"), [(0, None, NOW), (2, 30.0, NOW + 30.0)])
def test_a_step_that_goes_on_keeps_its_count_of_failures(before: int, asked: float | None, again: float) -> None:
    record = replace(RECORD, attempts={**RECORD.attempts, **({SLOT: Attempts(before, 0.0)} if before else {})})
    line = told("under_way", LAUNCH, "launch", verb="launch", slot=SLOT, release="v3", detail="half of it")
    after = under_way(snapshot(), record, LAUNCH, UnderWay("half of it", asked), NOW, ABOUT)
    assert after == After(tried(before, not_before=again, why="half of it", going_on=True), (line,), again)


def test_a_launch_is_another_try_until_the_release_is_seen_ready() -> None:
    record = replace(
        tried(2), intent=RECORD.intent, probed={"api": Probed("v3", True, 1.0), "eu": Probed("v3", True, 2.0)}
    )
    after = done(snapshot(), record, LAUNCH, None, NOW, ABOUT)
    expected = replace(
        tried(3, not_before=NOW + pause(3), why="launched, and not seen ready"),
        probed={"eu": Probed("v3", True, 2.0)},
        launched={"api": NOW},
    )
    assert after == After(expected, (told("done", LAUNCH, "launch", verb="launch", slot=SLOT, release="v3"),), NOW)
    assert done(snapshot(), RECORD, LAUNCH, None, NOW, ABOUT).record.attempts[SLOT].count == 1


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (Probe(True, 3, "3 rows"), Probed("v3", True, NOW, "3 rows")),
        (Probe(True, None, "3 rows"), Probed("v3", True, NOW, "3 rows")),
        (Probe(False, 3, "no rows"), Probed("v3", False, NOW, "no rows")),
        (Probe(True, 2, "3 rows"), Probed("v3", False, NOW, "v2 answered instead of v3")),
    ],
)
def test_a_probe_counts_where_the_version_itself_answered(probe: Probe, expected: Probed) -> None:
    step = Step(Verb.PROBE, "api", 3, "v3", reason="probe")
    record = replace(RECORD, probed={"eu": Probed("v3", True, 1.0)}, attempts={**RECORD.attempts, step.slot: OTHER})
    after = done(snapshot(), record, step, probe, NOW, ABOUT)
    assert after.record == replace(FREE, probed={"eu": Probed("v3", True, 1.0), "api": expected})


ROLLOUT = replace(
    RECORD,
    rollout=2,
    rollout_key="2-old",
    rollout_since=1.0,
    rolled_back="challenger_gone",
    probed={"api": Probed("v2", True, 1.0)},
    baseline={"api": {"errors": 0.1}},
    held_since=5.0,
)
"""As it is in the middle of a rollout."""


def test_a_nomination_begins_a_rollout_with_nothing_of_the_one_before() -> None:
    step = Step(Verb.NOMINATE, version=3, reason="nominated")
    after = done(snapshot(), ROLLOUT, step, None, NOW, ABOUT)
    assert after.record == replace(FREE, rollout=3, rollout_key=version(3).identity.key, rollout_since=NOW)
    assert after.lines[1:] == (Line(NOW, MODEL, "rollout_started", version=3, reason="nominated"),)
    unread = replace(step, version=9)
    assert done(snapshot(), ROLLOUT, unread, None, NOW, ABOUT).record == replace(FREE, rollout=9, rollout_since=NOW)


@pytest.mark.parametrize(("number", "ends"), [(2, True), (3, False)])
def test_a_rollout_ends_with_its_own_mark(number: int, ends: bool) -> None:
    after = done(snapshot(), ROLLOUT, Step(Verb.UNMARK, version=number, reason="unmark"), None, NOW, ABOUT)
    assert after.record == (replace(FREE, attempts={}) if ends else replace(ROLLOUT, intent=None))


def test_a_crowning_is_told_once_and_the_time_to_keep_warm_begins() -> None:
    step = Step(Verb.CROWN, version=3, crown=Crown(crowned=3, previous=2, n=4), reason="crown")
    after = done(snapshot(), RECORD, step, None, NOW, ABOUT)
    assert after.record == replace(FREE, n=4, crowned_at=NOW, told={"crowned": "3:4"})
    assert after.lines[1:] == (Line(NOW, MODEL, "crowned", version=3, data={"version": 3, "previous": 2}),)


def test_a_crown_that_names_the_same_champion_keeps_the_time_to_keep_warm() -> None:
    step = Step(Verb.WRITE_CROWN, version=3, crown=Crown(crowned=2, floor=3, n=2), reason="floor_raised")
    after = done(snapshot(), replace(RECORD, n=5), step, None, NOW, ABOUT)
    assert after == After(
        replace(FREE, n=5), (told("done", step, "floor_raised", verb="write_crown", slot="write_crown::3"),), NOW
    )


SERVING = Observed(
    (
        SeenRelease("v2", 2, "2-a", State.READY, traffic=Traffic(90, 1)),
        SeenRelease("v3", 3, "3-a", State.READY, traffic=Traffic(10, 2)),
        SeenRelease("v1", 1, "1-a", State.READY, traffic=Traffic(5, 5)),
        SeenRelease("own", 0, "", State.READY, ours=False, traffic=Traffic(1, 0)),
        SeenRelease("v4", 4, "4-a", State.READY, traffic=Traffic(available=False)),
    ),
    {"v2": 80, "v3": 10, "own": 5, "v4": 5},
)
SHIFT = Step(Verb.SHIFT, "api", 3, "v3", {"v2": 50, "v3": 50}, reason="canary_step")
ANSWERED = {"2": {"requests": 90, "errors": 1}, "3": {"requests": 10, "errors": 2}}


def test_a_shift_is_told_with_what_was_answered_before_it() -> None:
    after = done(snapshot(SERVING), RECORD, SHIFT, None, NOW, ABOUT)
    data = {"weights": {"2": 50, "3": 50}, "answered": ANSWERED}
    assert after.record == replace(FREE, live={"api": {"2": 50, "3": 50}})
    assert after.lines[0].data == ABOUT | {
        "verb": "shift",
        "slot": "shift:api:v2=50,v3=50",
        "release": "v3",
        "weights": {"v2": 50, "v3": 50},
    }
    assert after.lines[1:] == (Line(NOW, MODEL, "live", "api", 3, "canary_step", data),)


def test_a_shift_that_takes_effect_later_is_told_once_it_is_seen_and_a_mirror_ends_with_it() -> None:
    seen = replace(SERVING, delayed=True, mirrored=Mirrored("v3", 20, Traffic(7, 1, 4.0), 1, 6, 2))
    after = done(snapshot(seen), RECORD, SHIFT, None, NOW, ABOUT)
    figures = {"percent": 20, "requests": 7, "errors": 1, "p95_ms": 4.0, "compared": 6, "disagreed": 2, "dropped": 1}
    asked = Moved(3, "canary_step", {"2": 50, "3": 50}, ANSWERED, {"version": 3, **figures})
    assert (after.record, len(after.lines)) == (replace(FREE, moved={"api": asked}), 1)


def test_a_verdict_that_was_tagged_is_told_with_its_call() -> None:
    step = Step(Verb.TAG, version=3, call=Call.LOSES, reason="tag_verdict", detail="gain_too_small")
    (line,) = done(snapshot(), RECORD, step, None, NOW, ABOUT).lines
    expected = {"verb": "tag", "slot": "tag::3", "call": "loses", "detail": "gain_too_small"}
    assert line == told("done", step, "tag_verdict", **expected)
