"""The pure parts: commands to be typed, what a version answered, where the marks of a chart stand."""

from __future__ import annotations

import ast
import contextlib
import itertools
import math
import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.page.house import HOSTILE, NASTY
from watcher.page.asked import Links, NotAsked, Query
from watcher.page.chart import LEFT, chart, strip
from watcher.page.orders import literal, shell
from watcher.page.serve import LOOPBACK, names
from watcher.ports import Line
from watcher.text import plain
from watcher.views.exposed import Exposed, exposed

TEXTS = [HOSTILE, NASTY, "a b", "$(id)", "it's", "\\", "-rf", "\u202eabc", "tab\t", "模型", "'\n'"]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_name_on_a_command_line_is_one_word_for_the_shell_and_nothing_in_it_is_invisible(text: str) -> None:
    word = shell(text)
    assert plain(word, len(word)) == word
    if "\x00" not in text:
        said = subprocess.run(["/bin/bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout
        assert said == text.encode()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_name_in_python_reads_back_as_itself_and_nothing_in_it_is_invisible(text: str) -> None:
    written = literal(text)
    assert plain(written, len(written)) == written
    assert ast.literal_eval(written) == text


@given(st.text(min_size=1))
def test_a_name_in_a_link_is_read_back_as_itself(text: str) -> None:
    address = Links("/api/page", {"code": "k"})("model", name=text)
    query = Query.of(address.partition("?")[2].encode())
    assert address.isascii()
    assert query.values == {"name": text, "code": "k"}


@given(st.binary(max_size=200))
def test_whatever_a_query_is_it_is_read_or_refused(raw: bytes) -> None:
    try:
        query = Query.of(raw)
    except NotAsked:
        return
    for ask in (query.skip, query.event, lambda: query.number("n", 1), lambda: query.moment("at", 2e9)):
        with contextlib.suppress(NotAsked):
            ask()


def live(at: float, target: str, weights: dict[str, int], **answered: tuple[int, int]) -> Line:
    counts = {version[1:]: {"requests": n, "errors": bad} for version, (n, bad) in answered.items()}
    return Line(at, "churn", "live", target, data={"weights": weights, "answered": counts})


def test_what_a_version_answered_is_told_by_target_share_and_time() -> None:
    lines = [
        live(10.0, "api", {"1": 100}),
        live(20.0, "api", {"1": 90, "2": 10}, v1=(1_000, 0)),
        live(30.0, "api", {"1": 50, "2": 50}, v1=(900, 1), v2=(100, 3)),
        live(35.0, "eu", {"2": 100}),
        live(40.0, "api", {"1": 100}, v1=(70, 0), v2=(80, 40)),
        Line(50.0, "churn", "live", "eu", reason="observed", data={"weights": {"1": 100}}),
        live(60.0, "nightly", {"2": 100}),
    ]
    assert exposed(lines[::-1], "churn", 2) == (
        Exposed("api", 10, 20.0, 30.0, 100, 3),
        Exposed("api", 50, 30.0, 40.0, 80, 40),
        Exposed("eu", 100, 35.0, 50.0, None, None),
        Exposed("nightly", 100, 60.0, None, None, None),
    )
    assert exposed(lines, "churn", 3) == ()


@pytest.mark.parametrize("answered", ["soup", {"2": "many"}, {"2": {"requests": "x", "errors": None}}, None])
def test_counts_that_are_none_are_not_taken_for_zero(answered: object) -> None:
    after = Line(20.0, "churn", "live", "api", data={"weights": {}, "answered": answered})
    (stretch,) = exposed([live(10.0, "api", {"2": 100}), after], "churn", 2)
    assert (stretch.requests, stretch.errors) == (None, None)


def entry(version: int, value: float | None, outcome: str = "loses") -> dict[str, Any]:
    return {"version": version, "value": value, "outcome": outcome}


PRIMARY = {"metric": "auc", "better": "higher", "floor": None, "ceiling": None}
numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300) | st.none()


@given(st.lists(numbers, min_size=1, max_size=90))
def test_every_mark_of_a_chart_stands_inside_it_and_a_higher_number_never_stands_lower(values: list[Any]) -> None:
    drawn = chart([entry(n, value) for n, value in enumerate(values, 1)][::-1], PRIMARY, 720, 250)
    if drawn is None:
        assert all(value is None for value in values[-46:])
        return
    assert all(LEFT <= mark.x <= 720 and 0 <= mark.y <= 250 for mark in drawn.marks)
    assert [mark.x for mark in drawn.marks] == sorted({mark.x for mark in drawn.marks})
    measured = {mark.version: mark.y for mark in drawn.marks if mark.measured}
    ranked = sorted(measured, key=lambda version: values[version - 1])
    assert all(measured[low] >= measured[high] for low, high in itertools.pairwise(ranked))
    assert 0 < len(drawn.ticks) <= 7
    assert all(math.isfinite(tick.y) and 7 * len(tick.text) <= drawn.left - 8 for tick in drawn.ticks)


def test_the_champion_is_in_the_chart_however_old_it_is() -> None:
    versions = [*(entry(n, 0.5) for n in range(90, 1, -1)), entry(1, 0.9, "champion")]
    drawn = chart(versions, PRIMARY, 320, 200)
    assert drawn is not None
    assert (drawn.marks[0].version, drawn.marks[0].outcome, drawn.marks[-1].version) == (1, "champion", 90)
    assert drawn.champion is not None
    assert drawn.champion.y == drawn.marks[0].y


def test_reigns_fill_their_strip_and_each_is_seen_however_short_it_was() -> None:
    since = [0.0, 900.0, 900.001, 999.999]
    reigns = [
        {"version": n, "since": at, "until": after}
        for n, (at, after) in enumerate(zip(since, [*since[1:], None], strict=True), 1)
    ]
    drawn = strip(reigns[::-1], 1_000.0, 100)
    assert [stretch.version for stretch in drawn] == [1, 2, 3, 4]
    assert all(stretch.width >= 2.0 and 0.0 <= stretch.x <= 100.0 - stretch.width + 0.1 for stretch in drawn)
    assert (drawn[0].width, drawn[0].labelled, drawn[-1].now) == (90.0, True, True)


def test_words_that_a_shell_takes_as_they_are_stay_as_they_are() -> None:
    assert shell("prod.risk.churn") == "prod.risk.churn"
    assert shlex.split(shell("a b")) == ["a b"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_this_machine_the_page_has_only_the_names_of_this_machine(host: str) -> None:
    assert names(host) == LOOPBACK | {host}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "box.lan"])  # noqa: S104 nothing is bound here
def test_beyond_this_machine_the_page_may_have_any_name(host: str) -> None:
    assert names(host) is None
