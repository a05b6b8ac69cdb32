from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from watcher.errors import Transient
from watcher.page.known import AT_ONCE, FRESH, MOST, Known, Memory


class Time:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def now() -> Time:
    return Time()


def answer(memory: Memory, key: str, look: Callable[[], Any]) -> Known:
    (known,) = memory.ask({key: look})
    return known


def out() -> None:
    raise Transient("it does not answer")


def test_an_answer_is_shown_again_while_it_is_fresh_and_read_again_after(now: Time) -> None:
    memory, looks = Memory(now, timer=now), iter(range(9))
    assert [answer(memory, "a", lambda: next(looks)).value for _ in range(3)] == [0, 0, 0]
    now.now += FRESH + 1.0
    assert answer(memory, "a", lambda: next(looks)) == Known(1, now.now)


def test_what_took_long_is_not_repeated_soon(now: Time) -> None:
    memory, looks = Memory(now, timer=now), iter(range(9))

    def slow() -> int:
        now.now += 3.0
        return next(looks)

    answer(memory, "a", slow)
    now.now += 29.0
    assert answer(memory, "a", slow).value == 0
    now.now += 2.0
    assert answer(memory, "a", slow).value == 1


def test_the_last_answer_stays_while_there_is_no_newer_one_with_since_when(now: Time) -> None:
    memory = Memory(now, timer=now)
    answer(memory, "a", lambda: "known")
    began = now.now
    now.now += 10.0
    first = answer(memory, "a", out)
    now.now += 10.0
    assert answer(memory, "a", out) == first == Known("known", began, "it does not answer", began + 10.0)
    now.now += 10.0
    assert answer(memory, "a", lambda: "newer") == Known("newer", now.now)


def test_whoever_asks_while_a_look_is_under_way_shares_it_and_waits_no_longer_than_told(now: Time) -> None:
    memory, go, looks = Memory(now, 0.01), threading.Event(), []

    def hangs() -> str:
        looks.append(1)
        assert go.wait(30.0)
        return "late"

    try:
        known = [answer(memory, "a", hangs) for _ in range(3)]
    finally:
        go.set()
    assert [(one.value, one.problem) for one in known] == [(None, "no answer within 0.01 s")] * 3
    assert len(looks) == 1


def test_looks_that_hang_do_not_pile_up(now: Time) -> None:
    memory, go = Memory(now, 0.001), threading.Event()
    before = threading.active_count()
    try:
        known = [answer(memory, f"model {n}", lambda: go.wait(30.0)) for n in range(AT_ONCE + 20)]
        assert threading.active_count() <= before + AT_ONCE
    finally:
        go.set()
    assert known[-1].problem == "too many other looks are under way"


def test_what_nobody_asks_for_any_more_is_forgotten(now: Time) -> None:
    memory = Memory(now, timer=now)
    answer(memory, "first", lambda: 1)
    for number in range(MOST + 1):
        answer(memory, f"model {number}", lambda: 1)
    assert answer(memory, "first", lambda: 2).value == 2


def test_a_bug_in_a_look_is_raised_where_somebody_waits_for_it(now: Time) -> None:
    with pytest.raises(ZeroDivisionError):
        answer(Memory(now, timer=now), "a", lambda: 1 / 0)
