"""Gains at zero, at negative baselines, and at the edge of what a float can hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.judge.gates import duration
from watcher.judge.numbers import Change, number
from watcher.policy import Better

HIGHER, LOWER = Better.HIGHER, Better.LOWER
FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
AMOUNT = st.floats(min_value=0, max_value=1e6)


@pytest.mark.parametrize(
    ("new", "old", "better", "gain"),
    [
        (0.5, 0.4, HIGHER, 0.25),
        (0.4, 0.5, LOWER, 0.2),
        (-0.2, -0.5, HIGHER, 0.6),
        (-0.9, -0.5, HIGHER, -0.8),
        (-0.9, -0.5, LOWER, 0.8),
        (0.1, 0.0, HIGHER, float("inf")),
        (0.0, 0.0, HIGHER, 0.0),
        (0.0, -0.0, LOWER, 0.0),
        (-0.1, 0.0, HIGHER, float("-inf")),
        (-0.1, 0.0, LOWER, float("inf")),
        (1e300, 5e-324, HIGHER, float("inf")),
    ],
)
def test_a_relative_gain_has_a_meaning_at_every_baseline(new: float, old: float, better: Better, gain: float) -> None:
    assert Change(new, old, better, relative=True).gain == pytest.approx(gain)


@pytest.mark.parametrize("thousandths", range(500, 1000))
def test_the_last_digit_of_a_float_does_not_decide(thousandths: int) -> None:
    change = Change((thousandths + 2) / 1000, thousandths / 1000, HIGHER, relative=False)
    assert change.gains(0.002)
    assert not change.gains(0.0021)
    back = Change(thousandths / 1000, (thousandths + 2) / 1000, HIGHER, relative=False)
    assert not back.drops(0.002)
    assert back.drops(0.0019)


@given(FINITE, FINITE, AMOUNT, st.sampled_from(Better), st.booleans())
def test_only_what_is_strictly_better_gains(new: float, old: float, amount: float, better: Better, share: bool) -> None:
    change = Change(new, old, better, relative=share)
    assert not change.gains(amount) or (new > old if better is HIGHER else new < old)
    assert not (change.gains(amount) and change.drops(amount))


@given(FINITE, FINITE, AMOUNT, st.booleans())
def test_better_lower_is_better_higher_of_the_negated(new: float, old: float, amount: float, share: bool) -> None:
    down, up = Change(new, old, LOWER, relative=share), Change(-new, -old, HIGHER, relative=share)
    assert (down.gain, down.gains(amount), down.drops(amount)) == (up.gain, up.gains(amount), up.drops(amount))


@given(FINITE, FINITE)
def test_a_guard_with_an_amount_that_is_not_a_number_holds_nothing_back_by_mistake(new: float, old: float) -> None:
    change = Change(new, old, HIGHER, relative=False)
    assert change.drops(float("nan")) is (new < old)
    assert not change.gains(float("nan"))


@pytest.mark.parametrize(
    ("value", "beside", "text"),
    [
        (0.84123456, None, "0.8412"),
        (0.85, 0.85000001, "0.85"),
        (0.85000001, 0.85, "0.85000001"),
        (1234.5, None, "1234"),
        (-0.0, None, "0"),
        (1e-9, None, "1e-09"),
    ],
)
def test_a_number_is_written_to_be_read(value: float, beside: float | None, text: str) -> None:
    assert number(value, beside) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5.0, "0s"),
        (0.9, "0s"),
        (1.0, "1s"),
        (59.9, "59s"),
        (3_600.0, "1h"),
        (12_000.0, "3h 20m"),
        (187_200.0, "2d 4h"),
        (90_061.0, "1d 1h"),
    ],
)
def test_a_duration_is_written_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
