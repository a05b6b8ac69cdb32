"""Every line of the history reads as plain sentences: what, which version, where, and why with the numbers."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.history import EVENTS, render, stamp
from watcher.ports import Line
from watcher.values import Verb

GAIN = {
    "rule": "primary_gains",
    "call": "wins",
    "reason": "ok",
    "measured": "0.8412 (+0.0031)",
    "bound": "≥ +0.002",
    "detail": "`auc`; the champion has 0.8381.",
}
FLOOR = {"rule": "within_bounds", "call": "wins", "reason": "ok", "measured": "auc 0.8412", "bound": "≥ 0.75"}
YOUNG = {"rule": "old_enough", "call": "waits", "reason": "too_young", "measured": "5m", "bound": "≥ 30m"}
SHIFT = {"verb": "shift", "weights": {"a": 90, "b": 10}}
LAUNCH = {"verb": "launch", "release": "churn-v12-a1b2c3"}


def said(event: str, *, model: str = "churn", **of: Any) -> str:
    return render(Line(1.0, model, event, **of))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (("seen", {"version": 12}), "churn: version 12 was seen for the first time."),
        (
            ("verdict", {"version": 12, "data": {"call": "wins", "findings": [FLOOR, GAIN, YOUNG | {"measured": ""}]}}),
            (
                "churn: version 12 wins: 0.8412 (+0.0031), needed ≥ +0.002 (`auc`; the champion has 0.8381);"
                " auc 0.8412, needed ≥ 0.75."
            ),
        ),
        (
            (
                "verdict",
                {
                    "version": 13,
                    "data": {
                        "call": "loses",
                        "findings": [FLOOR, GAIN | {"call": "loses", "reason": "gain_too_small"}],
                    },
                },
            ),
            (
                "churn: version 13 loses: gain too small: 0.8412 (+0.0031), needed ≥ +0.002"
                " (`auc`; the champion has 0.8381)."
            ),
        ),
        (
            ("verdict", {"version": 14, "data": {"call": "waits", "findings": [GAIN, YOUNG]}}),
            "churn: version 14 waits: too young: 5m, needed ≥ 30m.",
        ),
        (
            ("verdict", {"version": 3, "data": {"call": "superseded", "reason": "below_floor"}}),
            "churn: version 3 is superseded: below floor.",
        ),
        (
            ("intent", {"version": 12, "target": "api", "data": LAUNCH}),
            "churn: about to start version 12 on api without traffic (release churn-v12-a1b2c3).",
        ),
        (
            ("done", {"version": 12, "target": "api", "data": LAUNCH | {"seconds": 0.2345}}),
            "churn: asked api to start version 12 without traffic (release churn-v12-a1b2c3), which took 0.234 s.",
        ),
        (
            ("failed", {"version": 12, "target": "api", "data": LAUNCH | {"detail": "no quota"}}),
            "churn: could not start version 12 on api without traffic (release churn-v12-a1b2c3): no quota.",
        ),
        (
            ("under_way", {"version": 12, "target": "api", "data": LAUNCH | {"detail": "3 of 9 MB"}}),
            "churn: went on to start version 12 on api without traffic (release churn-v12-a1b2c3): 3 of 9 MB.",
        ),
        (
            ("done", {"target": "api", "reason": "canary_step", "data": SHIFT}),
            "churn: set api to a at 90 % and b at 10 % (canary step).",
        ),
        (("done", {"version": 12, "data": {"verb": "crown"}}), "churn: moved the champion mark to version 12."),
        (
            ("live", {"target": "api", "reason": "canary_step", "data": {"weights": {"12": 10, "11": 90}}}),
            "churn: api now serves version 11 at 90 % and version 12 at 10 % (canary step).",
        ),
        (("live", {"target": "api", "data": {"weights": {"12": 100}}}), "churn: api now serves version 12 alone."),
        (("live", {"target": "api", "data": {"weights": {}}}), "churn: api now serves nothing."),
        (
            (
                "wrote",
                {
                    "target": "live",
                    "version": 6,
                    "data": {"rows": 1200, "since": 60.0, "until": 90.0, "where": "scores", "commits": [74, 81]},
                },
            ),
            (
                "churn: live runs another version now; version 6 wrote 1,200 rows to scores, from 1970-01-01 00:01:00"
                " UTC to 1970-01-01 00:01:30 UTC, in the table's versions 74 to 81."
            ),
        ),
        (
            ("wrote", {"target": "nightly", "version": 6, "data": {"rows": 5, "folders": ["run=a", "run=b"]}}),
            "churn: nightly runs another version now; version 6 wrote 5 rows, in run=a, run=b.",
        ),
        (("wrote", {"version": 6}), "churn: a job runs another version now; version 6 wrote rows."),
        (
            ("order", {"version": 10, "data": {"crowned": 10, "previous": 12, "floor": 13, "displaced": 12}}),
            (
                "churn: a person made version 10 the champion in place of version 12. Only versions above 13 may be"
                " nominated from now on. If it cannot serve, version 12 comes back."
            ),
        ),
        (
            ("rollout_started", {"version": 12, "reason": "beats_champion"}),
            "churn: the rollout of version 12 to every target started (beats champion).",
        ),
        (
            (
                "rolled_back",
                {
                    "version": 12,
                    "data": {
                        "reason": "too_many_errors",
                        "detail": "Of 400 requests",
                        "numbers": {"error_share": 0.031},
                    },
                },
            ),
            "churn: version 12 was rolled back: too many errors (error share 0.031). Of 400 requests.",
        ),
        (
            ("crowned", {"version": 12, "data": {"version": 12, "previous": 11}}),
            "churn: version 12 is the champion now, in place of version 11.",
        ),
        (
            ("crowned", {"version": 1, "data": {"version": 1, "previous": None}}),
            "churn: version 1 is the champion now, the first one of this model.",
        ),
        (
            ("unmet", {"version": 10, "data": {"previous": 12, "detail": "no artifacts"}}),
            (
                "churn: the order to serve version 10 cannot be carried out: no artifacts. Every target goes back"
                " to version 12. Nothing newer is nominated until a person acts."
            ),
        ),
        (
            ("told", {"version": 12, "target": "api", "reason": "no_example", "data": {"state": "waiting"}}),
            "churn: version 12 waits on api: no example.",
        ),
        (("told", {"reason": "held", "data": {"detail": "ana"}}), "churn: the model is held by a person; ana."),
        (("told", {"reason": "stuck"}), "churn: the model is stuck and needs a person."),
        (
            ("ledger_rebuilt", {"model": "#ledger", "data": {"kept": "ledger.db.damaged-1", "rescued": 7}}),
            (
                "watcher: the ledger's file was damaged and is kept as ledger.db.damaged-1; 7 lines of the history were"
                " read from it, and the records start anew."
            ),
        ),
        (
            ("ledger_rebuilt", {"reason": "first_run"}),
            "churn: its memory started anew (first run); it looks for a while before it acts.",
        ),
        (
            ("paused", {"model": "#pause", "data": {"who": "ana"}}),
            "watcher: paused by ana: it observes, and does nothing until it is resumed.",
        ),
        (("resumed", {"model": "#pause", "data": {"who": "ana"}}), "watcher: resumed by ana."),
    ],
)
def test_a_line_reads_as(line: tuple[str, dict[str, Any]], sentence: str) -> None:
    event, of = line
    assert said(event, **of) == sentence


@pytest.mark.parametrize("event", [*EVENTS, "an_event_of_a_newer_watcher"])
def test_a_line_without_any_data_still_is_a_sentence(event: str) -> None:
    sentence = said(event)
    assert sentence.startswith("churn: ")
    assert sentence.endswith(".")
    assert "None" not in sentence


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("event", ["intent", "done", "failed"])
def test_every_verb_has_its_words(event: str, verb: Verb) -> None:
    sentence = said(event, version=7, target="api", data={"verb": str(verb), "release": "r", "weights": {"r": 100}})
    assert not any(word in sentence for word in ("VERSION", "TARGET", "RELEASE", "WEIGHTS", "the step", "_"))


def test_words_of_our_own_phrases_in_a_name_are_left_as_they_are() -> None:
    sentence = said("intent", version=7, target="VERSION", data={"verb": "launch", "release": "TARGET"})
    assert sentence == "churn: about to start version 7 on VERSION without traffic (release TARGET)."


hostile = st.text(max_size=400)
data = st.dictionaries(
    st.sampled_from(
        [
            "call",
            "reason",
            "findings",
            "verb",
            "weights",
            "release",
            "detail",
            "seconds",
            "numbers",
            "crowned",
            "previous",
            "floor",
            "displaced",
            "version",
            "state",
            "who",
            "kept",
            "rescued",
            "target",
        ]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | hostile,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["rule", "call", "reason", "measured", "bound", "detail"]) | hostile,
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    ),
)


@given(
    line=st.builds(
        Line,
        at=st.floats(),
        model=hostile,
        event=st.sampled_from([*EVENTS]) | hostile,
        target=st.none() | hostile,
        version=st.none() | st.integers(),
        reason=hostile,
        data=st.none() | data,
    )
)
def test_whatever_a_line_holds_it_is_shown_on_one_line_without_anything_invisible(line: Line) -> None:
    sentence = render(line)
    assert len(sentence) < 6000
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in sentence)


def test_a_moment_is_written_in_utc() -> None:
    assert stamp(1772333225.9) == "2026-03-01 02:47:05 UTC"


@pytest.mark.parametrize("at", [float("nan"), float("inf"), 1e300, -1e300])
def test_a_moment_that_is_none_is_shown_as_it_is(at: float) -> None:
    assert stamp(at) == str(at)


def test_two_rules_that_miss_the_same_metric_say_so_once() -> None:
    missing = {"call": "waits", "reason": "evidence_missing", "detail": "No metric `r2`."}
    findings = [
        missing | {"rule": "evidence_complete", "measured": "0 of 1 metrics", "bound": "r2"},
        missing | {"rule": "primary_gains", "measured": "none"},
    ]
    told = render(Line(0.0, "churn", "verdict", version=3, data={"call": "waits", "findings": findings}))
    assert told == "churn: version 3 waits: evidence missing: 0 of 1 metrics, needed r2 (No metric `r2`)."


def test_a_rule_that_only_repeats_the_reason_of_another_is_not_told() -> None:
    awaited = {"call": "waits", "reason": "evaluation_awaited"}
    findings = [awaited | {"rule": "evaluated", "measured": "not begun"}, awaited | {"rule": "slices_hold"}]
    told = render(Line(0.0, "churn", "verdict", version=3, data={"call": "waits", "findings": findings}))
    assert told == "churn: version 3 waits: evaluation awaited: not begun."


def test_a_tagged_verdict_says_which() -> None:
    data = {"verb": "tag", "call": "loses", "detail": "gain_too_small"}
    told = render(Line(0.0, "churn", "done", version=2, reason="tag_verdict", data=data))
    assert told == "churn: tagged version 2 with its verdict, loses: gain too small."
    assert render(Line(0.0, "churn", "done", version=2, reason="rejudged", data={"verb": "tag"})) == (
        "churn: took the verdict off version 2."
    )


def test_a_reason_that_only_the_loop_knows_is_said_in_plain_words() -> None:
    data = {"verb": "retire", "release": "v5-abc"}
    told = render(Line(0.0, "churn", "done", "api", 5, "stray", data))
    assert told == "churn: removed version 5 from api (release v5-abc) (nobody needs it any more)."
