"""Each promise is kept by a good story, and broken by what breaks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from demo import report
from demo.counts import Counts
from demo.promises import Seen, check, outcome
from demo.tables import Run, Scored
from watcher.ports import Line

BAKE = 3.0


def line(at: float, event: str, version: int | None = None, reason: str = "", /, **data: Any) -> Line:
    return Line(at, "m", event, "api", version, reason, {"worker": "w1", **data})


def live(at: float, reason: str = "canary_step", /, **weights: int) -> Line:
    return line(at, "live", None, reason, weights={name.removeprefix("v"): share for name, share in weights.items()})


GOOD = (
    line(0, "seen", 1),
    line(0, "verdict", 1, "first_version", call="wins", reason="first_version"),
    line(1, "done", 1, "launch", verb="launch", release="m-v1"),
    live(2, v1=100),
    line(3, "crowned", 1, version=1, previous=None),
    line(10, "seen", 2),
    line(10, "verdict", 2, "beats_champion", call="wins", reason="beats_champion"),
    line(11, "done", 2, "launch", verb="launch", release="m-v2"),
    live(12, v1=90, v2=10),
    live(16, v1=50, v2=50),
    live(20, v2=100),
    line(24, "crowned", 2, version=2, previous=1),
    line(30, "verdict", 3, "beats_champion", call="wins", reason="beats_champion"),
    line(31, "done", 3, "launch", verb="launch", release="m-v3"),
    live(32, v2=90, v3=10),
    line(33, "rolled_back", 3, "analysis_errors", detail="api: 5 of 20 requests failed"),
    live(33.5, "roll_back_shift", v2=100),
    line(40, "order", 1, displaced=2),
    live(41, "drift_shift", v1=100),
)
SEEN = Seen(
    lines=GOOD,
    counts=Counts(
        sent=100,
        answers={"1": 50, "2": 40, "3": 7},
        own={"3": 3},
        returns={"1": [2.1, 41.2], "2": [12.2], "3": [32.1]},
        last={"1": 50.0, "2": 41.5, "3": 33.6},
    ),
    registered=(1, 2, 3),
    champion=1,
    tags={1: None, 2: "displaced", 3: "rolled_back"},
    weights={1: 100},
    bake=BAKE,
    scored=Scored(100, 100, 0, 0, {1: 60, 2: 40}, 1, (Run("run=a", 2, 30, 30, 30),)),
)


def broken(seen: Seen) -> list[str]:
    return [promise.words for promise in check(seen) if promise.broken]


def counts(**changed: Any) -> Seen:
    return replace(SEEN, counts=replace(SEEN.counts, **changed))


def scored(**changed: Any) -> Seen:
    return replace(SEEN, scored=replace(SEEN.scored, **changed))


def without(*gone: Line) -> Sequence[Line]:
    return tuple(entry for entry in GOOD if entry not in gone)


def moved(entry: Line, at: float) -> Sequence[Line]:
    return tuple(sorted((*without(entry), replace(entry, at=at)), key=lambda e: e.at))


def test_a_good_story_keeps_every_promise() -> None:
    assert broken(SEEN) == []


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (counts(failed=1, sent=101, failures=["502"]), "No request failed"),
        (counts(sent=101), "No request failed"),
        (Seen((), Counts(), (), 1, {}, {1: 100}, BAKE), "No request failed"),
        (counts(own={"1": 3}), "failed real requests did not stay"),
        (replace(SEEN, registered=(1, 2, 3, 4)), "Every registered version was judged"),
        (counts(answers={"1": 50, "2": 40, "4": 7}), "Only winners"),
        (replace(SEEN, weights={1: 90, 2: 10}), "serves the registry's champion"),
        (replace(SEEN, weights={}), "serves the registry's champion"),
        (replace(scored(last=2), champion=2, weights={2: 100}), "mark is where the last"),
        (replace(SEEN, tags={1: None, 2: "displaced", 3: "wins"}), "verdicts stand in the registry"),
        (counts(last={"1": 50.0, "2": 41.5, "3": 39.0}), "did not answer again"),
        (counts(last={"1": 50.0, "2": 49.0, "3": 33.6}), "did not answer again"),
        (replace(SEEN, lines=(*GOOD[:-2], GOOD[2], *GOOD[-2:])), "launched twice"),
        (replace(SEEN, lines=moved(GOOD[9], 14.0)), "baked in full"),
        (replace(SEEN, lines=moved(GOOD[11], 22.0)), "baked in full"),
        (scored(rows_in=0, rows_out=0), "scored once"),
        (scored(lost=1, rows_out=99), "scored once"),
        (scored(twice=1, rows_out=101), "scored once"),
        (scored(versions={1: 60, 4: 40}), "scored rows; the champion"),
        (scored(last=2), "scored rows; the champion"),
        (scored(runs=()), "batch job is whole"),
        (scored(runs=(Run("run=a", 2, 30, 30, 29),)), "batch job is whole"),
        (scored(runs=(Run("run=a", 2, 30, 31, 30),)), "batch job is whole"),
        (scored(runs=(Run("run=a", 4, 30, 30, 30),)), "batch job is whole"),
        (replace(SEEN, killed=((12.5, 2),)), "brought to its end"),
        (replace(SEEN, killed=((41.5, 2),)), "brought to its end"),
    ],
)
def test_a_promise_is_broken_by(seen: Seen, words: str) -> None:
    (found,) = (w for w in broken(seen) if words in w)
    assert found


def test_another_process_that_goes_on_keeps_the_promise() -> None:
    after = tuple(replace(e, data={**(e.data or {}), "worker": "w2"}) if e.at > 12.5 else e for e in GOOD)
    last = line(25, "done", 2, "unmark", verb="unmark", worker="w2")
    lines = tuple(sorted((*after, last), key=lambda e: e.at))
    assert broken(replace(SEEN, lines=lines, killed=((12.5, 2),))) == []


def test_a_release_may_be_launched_on_each_target() -> None:
    elsewhere = replace(GOOD[7], target="live")
    assert broken(replace(SEEN, lines=(*GOOD[:8], elsewhere, *GOOD[8:]))) == []


def test_what_a_job_serves_is_no_step_of_a_canary() -> None:
    switched = replace(live(23.9, "switch", v2=100), target="live")
    assert broken(replace(SEEN, lines=(*GOOD[:11], switched, *GOOD[11:]))) == []


def test_a_release_may_be_launched_again_once_it_was_retired() -> None:
    gone = line(35, "done", 1, "stray", verb="retire", release="m-v1")
    back = line(40.5, "done", 1, "drift_launch", verb="launch", release="m-v1")
    assert broken(replace(SEEN, lines=tuple(sorted((*GOOD, gone, back), key=lambda e: e.at)))) == []


def test_a_displaced_version_that_a_person_orders_again_may_answer() -> None:
    lines = (*GOOD, line(60, "order", 2, displaced=1), live(61, "drift_shift", v2=100))
    seen = replace(
        SEEN,
        lines=lines,
        champion=2,
        scored=replace(SEEN.scored, last=2),
        weights={2: 100},
        tags={1: "displaced", 2: None, 3: "rolled_back"},
        counts=replace(SEEN.counts, last={"1": 61.2, "2": 70.0, "3": 33.6}),
    )
    assert broken(seen) == []


def test_what_became_of_a_version() -> None:
    assert outcome(GOOD, 1) == ("wins", "first_version", "")
    assert outcome(GOOD, 2) == ("displaced", "", "by version 1")
    assert outcome(GOOD, 3) == ("rolled_back", "analysis_errors", "api: 5 of 20 requests failed")
    assert outcome(GOOD, 9) == ("", "", "")


def test_the_report_tells_version_6_apart_from_every_other() -> None:
    six = replace(SEEN, counts=replace(SEEN.counts, own={"3": 3, "6": 4}, failed=1, sent=105))
    told = report.build(six, check(six), 12.34)
    assert (told["requests_sent"], told["requests_failed"], told["requests_failed_v6"]) == (105, 4, 4)
    assert told["answers"] == {"1": 50, "2": 40, "3": 7}
    assert told["seconds_to_first_answer"] == {"1": 2.1, "2": 2.2}
    assert told["seconds_from_order_to_answer"] == {"1": 1.2}
    assert told["verdicts"]["3"]["call"] == "rolled_back"
