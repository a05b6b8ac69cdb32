"""Seconds are retried inside an adapter's call, bounded well below a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from watcher.errors import LONGEST_WISH, Conflict, Terminal, Transient, WatcherError
from watcher.retry import Retry


class Clock:
    """Time that passes only while somebody sleeps, or a call takes its time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Flaky:
    """Raises the errors it was given, one a call, then answers."""

    def __init__(self, clock: Clock, *errors: Exception, takes: float = 0.0) -> None:
        self.calls = 0
        self._clock = clock
        self._takes = takes
        self._errors: Iterator[Exception] = iter(errors)

    def __call__(self) -> str:
        self.calls += 1
        self._clock.now += self._takes
        error = next(self._errors, None)
        if error:
            raise error
        return "answer"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def retry(clock: Clock) -> Retry:
    return Retry(sleep=clock.sleep, now=lambda: clock.now)


def test_an_answer_is_given_at_once(clock: Clock, retry: Retry) -> None:
    assert retry(Flaky(clock)) == "answer"
    assert clock.slept == []


def test_a_moment_of_trouble_is_waited_out_longer_each_time(clock: Clock, retry: Retry) -> None:
    assert retry(Flaky(clock, Transient("a"), Transient("b"))) == "answer"
    first, second = clock.slept
    assert 0.2 <= first <= 0.4
    assert 0.4 <= second <= 0.6


def test_after_the_last_attempt_its_own_error_is_raised(clock: Clock, retry: Retry) -> None:
    with pytest.raises(Transient, match="third"):
        retry(Flaky(clock, Transient("first"), Transient("second"), Transient("third"), Transient("fourth")))


@pytest.mark.parametrize("error", [Terminal("never"), Conflict("changed"), ValueError("a bug")])
def test_an_answer_that_will_not_change_is_not_asked_for_again(clock: Clock, retry: Retry, error: Exception) -> None:
    flaky = Flaky(clock, error)
    with pytest.raises(type(error)):
        retry(flaky)
    assert flaky.calls == 1


def test_the_other_side_is_given_the_time_it_asks_for(clock: Clock, retry: Retry) -> None:
    assert retry(Flaky(clock, Transient("busy", retry_after=7.0))) == "answer"
    assert clock.slept == [7.0]


@pytest.mark.parametrize("asked", [20.1, 600.0, float("inf")])
def test_a_wait_that_does_not_fit_is_left_to_the_caller(clock: Clock, retry: Retry, asked: float) -> None:
    with pytest.raises(Transient) as caught:
        retry(Flaky(clock, Transient("busy", retry_after=asked)))
    assert caught.value.retry_after == min(asked, LONGEST_WISH)
    assert clock.slept == []


def test_slow_failures_use_up_the_same_budget(clock: Clock, retry: Retry) -> None:
    flaky = Flaky(clock, *[Transient("slow")] * 9, takes=15.0)
    with pytest.raises(WatcherError):
        retry(flaky)
    assert flaky.calls == 2
    assert clock.now - 100.0 < 35.0
