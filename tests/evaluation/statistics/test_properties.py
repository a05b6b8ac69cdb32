"""What holds for any two models."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evaluation.statistics import NotComparable, gain, level, values
from tests.evaluation.statistics.models import ANALYTIC, EVERY, NUMBERS, RESAMPLED, SEEDS, Floats, Pair, pair

CONFIDENCE = st.floats(0.55, 0.999999)
ANY = st.sampled_from(EVERY)
SURE = st.sampled_from(ANALYTIC)
ROWS = st.integers(60, 300)
few = settings(max_examples=30)


def near(number: float) -> object:
    return pytest.approx(number, rel=1e-7, abs=1e-9)


@few
@given(ANY, SEEDS, ROWS, CONFIDENCE)
def test_models_that_change_places_turn_the_gain_around(metric: str, seed: int, rows: int, confidence: float) -> None:
    one, other = pair(metric, seed, rows).gain(confidence), pair(metric, seed, rows).swapped().gain(confidence)
    assert (other.estimate, other.low, other.high) == (near(-one.estimate), near(-one.high), near(-one.low))
    assert (other.champion, other.challenger) == (one.challenger, one.champion)


@few
@given(SURE, SEEDS, ROWS)
def test_the_order_of_rows_does_not_matter(metric: str, seed: int, rows: int) -> None:
    made = pair(metric, seed, rows)
    one, other = made.gain(), made.taken(np.random.default_rng(seed).permutation(rows)).gain()
    assert (other.estimate, other.low, other.high) == (near(one.estimate), near(one.low), near(one.high))


@few
@given(st.sampled_from([name for name in ANALYTIC if name != "accuracy"]), SEEDS, ROWS)
def test_groups_of_one_are_no_groups(metric: str, seed: int, rows: int) -> None:
    made = pair(metric, seed, rows)
    one, other = made.gain(), made.gain(groups=np.random.default_rng(seed).permutation(rows))
    assert (other.low, other.high) == (near(one.low), near(one.high))
    assert (other.method, other.clusters) == (f"cluster {one.method}", rows)


@few
@given(st.sampled_from([name for name in ANALYTIC if name != "accuracy"]), SEEDS, ROWS)
def test_weights_that_are_all_the_same_are_no_weights(metric: str, seed: int, rows: int) -> None:
    made = pair(metric, seed, rows)
    one, other = made.gain(), made.gain(weights=np.full(rows, 7.0))
    assert (other.low, other.high) == (near(one.low), near(one.high))


@few
@given(SURE, SEEDS, ROWS)
def test_rows_that_come_twice_as_a_group_say_no_more_than_once(metric: str, seed: int, rows: int) -> None:
    assume(metric != "accuracy")
    made = pair(metric, seed, rows)
    one, other = made.gain(), made.taken(np.repeat(np.arange(rows), 2)).gain(groups=np.repeat(np.arange(rows), 2))
    assert (other.estimate, other.low, other.high) == (near(one.estimate), near(one.low), near(one.high))


@few
@given(ANY, SEEDS, ROWS, CONFIDENCE, CONFIDENCE)
def test_more_confidence_never_gives_narrower_bounds(
    metric: str, seed: int, rows: int, one: float, other: float
) -> None:
    less, more = sorted((one, other))
    made = pair(metric, seed, rows)
    inner, outer = made.gain(less), made.gain(more)
    assert outer.low <= inner.low <= inner.estimate <= inner.high <= outer.high


@few
@given(ANY, SEEDS, ROWS, CONFIDENCE, st.booleans())
def test_two_models_that_say_the_same_have_a_gain_of_zero(
    metric: str, seed: int, rows: int, confidence: float, grouped: bool
) -> None:
    made = pair(metric, seed, rows)
    made = type(made)(metric, made.truth, made.champion, made.champion.copy())
    found = made.gain(confidence, groups=np.arange(rows) // 2 if grouped else None)
    assert (found.estimate, found.low, found.high) == (0.0, 0.0, 0.0)
    assert found.champion == found.challenger


@settings(max_examples=4)
@given(st.sampled_from(RESAMPLED), SEEDS)
def test_what_is_drawn_is_repeated_by_its_seed(metric: str, seed: int) -> None:
    made = pair(metric, seed, 60)
    assert made.gain(seed=seed) == made.gain(seed=seed) != made.gain(seed=seed + 1)


@few
@given(ANY, hnp.arrays(np.float64, (3, 40), elements=st.floats()), st.booleans())
def test_any_numbers_give_a_gain_or_are_refused(metric: str, rows: Floats, grouped: bool) -> None:
    groups = np.arange(40) // 2 if grouped else None
    try:
        found = gain(metric, *rows, confidence=0.95, groups=groups)
    except NotComparable:
        return
    assert np.isfinite([found.low, found.high, found.champion, found.challenger]).all()
    assert found.low <= found.estimate <= found.high


@few
@given(st.sampled_from(NUMBERS), hnp.arrays(np.float64, (3, 40), elements=st.floats(1e-300, 1e300)))
def test_numbers_of_any_size_give_a_gain_or_are_refused(metric: str, rows: Floats) -> None:
    try:
        found = gain(metric, *rows, confidence=0.95)
    except NotComparable:
        return
    assert found.low <= found.estimate <= found.high


@given(CONFIDENCE, st.integers(1, 10_000))
def test_any_number_of_looks_together_err_no_more_than_one_look_may(confidence: float, looks: int) -> None:
    spent = sum(1.0 - level(confidence, look) for look in range(1, looks + 1))
    assert 0.6 * (1.0 - confidence) < spent < (1.0 - confidence) * (1.0 + 1e-9)
    assert level(confidence, looks) < level(confidence, looks + 1) < 1.0


@few
@given(SURE, SEEDS, ROWS, st.booleans(), st.booleans())
def test_how_many_rows_are_worked_on_at_once_does_not_matter(
    metric: str, seed: int, rows: int, grouped: bool, weighted: bool
) -> None:
    made, chance = pair(metric, seed, rows), np.random.default_rng(seed)
    groups = chance.integers(0, rows // 4, rows) if grouped else None
    weights = chance.uniform(0.5, 2.0, rows) if weighted else None
    one = made.gain(groups=groups, weights=weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "BLOCK", 7)
        other = made.gain(groups=groups, weights=weights)
    assert (other.estimate, other.low, other.high) == (near(one.estimate), near(one.low), near(one.high))
    assert (other.champion, other.challenger) == (near(one.champion), near(one.challenger))


SPARING = ("log_loss", "brier", "accuracy", "f1", "mcc", "mse", "rmse", "r2")
AS_IT_IS, SINGLE, WHOLE, OF_EACH_CLASS = "as it is", "single precision", "whole numbers", "of each class"


@pytest.mark.parametrize(
    ("metric", "kind", "bytes_a_row"),
    [
        *((name, AS_IT_IS, 4) for name in SPARING),
        ("roc_auc", AS_IT_IS, 30),
        ("log_loss", OF_EACH_CLASS, 4),
        *((name, kind, 4) for name in ("mse", "r2") for kind in (SINGLE, WHOLE)),
    ],
)
def test_memory_beside_the_rows_is_as_small_as_the_guide_says(metric: str, kind: str, bytes_a_row: int) -> None:
    def peak(rows: int) -> int:
        made = _of_kind(pair(metric, 0, rows), kind)
        tracemalloc.start()
        try:
            made.gain()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few_rows, more_rows = 2 * values.BLOCK, 6 * values.BLOCK
    assert peak(more_rows) - peak(few_rows) <= bytes_a_row * (more_rows - few_rows)


def _of_kind(made: Pair, kind: str) -> Pair:
    """The same rows, kept in another way."""
    if kind == OF_EACH_CLASS:
        both = [np.column_stack([1.0 - said.astype(np.float64), said]) for said in (made.champion, made.challenger)]
        return Pair(made.metric, made.truth, *both)
    if kind == AS_IT_IS:
        return made
    to = np.float32 if kind == SINGLE else np.int8
    return Pair(made.metric, *(each.astype(to) for each in (made.truth, made.champion, made.challenger)))


@pytest.mark.parametrize("metric", NUMBERS)
@pytest.mark.parametrize("kind", [SINGLE, WHOLE])
def test_numbers_are_compared_in_double_precision_whatever_they_are_kept_as(metric: str, kind: str) -> None:
    kept = _of_kind(pair(metric, 1), kind)
    wide = Pair(metric, *(each.astype(np.float64) for each in (kept.truth, kept.champion, kept.challenger)))
    assert kept.gain() == wide.gain()
