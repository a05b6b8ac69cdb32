"""What cannot be compared is refused in one sentence; what only looks odd is compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluation.statistics import METRICS, Metric, Needs, NotComparable, gain, level, losses_of, metric, row_losses
from evaluation.statistics.bootstrap import resampled
from tests.evaluation.statistics.models import EVERY, pair

TRUTH = np.tile([0, 1], 50)
HALF = np.full(100, 0.5)
RISING = np.linspace(0.0, 1.0, 100)
NAN = np.where(np.arange(100) == 7, np.nan, RISING)


@pytest.mark.parametrize(
    ("name", "truth", "champion", "challenger", "more", "sentence"),
    [
        ("roc_auc", np.ones(100), HALF, RISING, {}, "one class only, '1.0'"),
        ("f1", np.ones(100), TRUTH, TRUTH, {}, "one class only"),
        ("log_loss", np.ones(100), HALF, RISING, {}, "one class only"),
        ("log_loss", TRUTH, HALF, NAN, {}, "challenger's prediction is missing or not finite in 1 of 100 rows"),
        ("mae", NAN, RISING, RISING, {}, "The truth is missing or not finite in 1 of 100 rows"),
        ("mae", RISING, RISING, np.full(100, np.inf), {}, "not finite in 100 of 100 rows"),
        ("mae", RISING, RISING, RISING[:99], {}, "challenger's prediction has 99 rows and the truth 100"),
        ("mae", RISING[:20], RISING[:20], RISING[:20], {}, "There are 20 rows, and bounds need at least 30"),
        ("mae", [], [], [], {}, "There are 0 rows"),
        ("roc_auc", [], [], [], {}, "0 rows"),
        ("accuracy", [], [], [], {}, "There are 0 rows"),
        ("roc_auc", np.arange(100) < 3, RISING, HALF, {}, "A class has 3 rows"),
        ("accuracy", TRUTH, HALF, RISING, {}, "not whole numbers as the truth is: accuracy needs labels"),
        ("accuracy", TRUTH, np.full(100, "yes"), TRUTH, {}, "not both text or both numbers"),
        ("accuracy", TRUTH, np.stack([TRUTH, TRUTH], 1), TRUTH, {}, "has 2 dimensions"),
        ("accuracy", np.stack([TRUTH, TRUTH], 1), TRUTH, TRUTH, {}, "The truth has 2 dimensions"),
        ("log_loss", TRUTH, HALF, RISING * 2.0, {}, "not between 0 and 1"),
        ("log_loss", TRUTH, HALF, np.stack([HALF, RISING], 1), {}, "does not add up to 1"),
        ("log_loss", TRUTH, HALF, np.full((100, 3), 1 / 3), {}, "shape (100, 3), and the classes are 2"),
        ("log_loss", np.arange(100) % 3, HALF, HALF, {}, "one number for each row, and there are 3 classes"),
        ("log_loss", TRUTH, HALF, RISING, {"classes": [0, 2]}, "a class that is not in the list of classes: '1'"),
        ("log_loss", TRUTH, HALF, RISING, {"classes": ["a", "b"]}, "not both text or both numbers"),
        ("f1", np.arange(100) % 3, TRUTH, TRUTH, {}, "compares two: use f1_macro or f1_weighted"),
        ("average_precision", np.arange(100) % 3, HALF, HALF, {}, "3 classes, and average_precision compares two"),
        ("mae", TRUTH.astype(str), HALF, HALF, {}, "The truth is text, and mae needs numbers"),
        ("mae", HALF, np.full((100, 2), 0.5), HALF, {}, "needs one number for each row"),
        ("mae", HALF, HALF, 0.5, {}, "is a single value"),
        ("mae", HALF, HALF, HALF.astype("datetime64[s]"), {}, "must be numbers, booleans or text"),
        ("mae", HALF, HALF, [None, *HALF[1:]], {}, "is missing in 1 of 100 places"),
        ("mae", HALF, HALF, np.array([{}] * 100), {}, "mixes kinds of values"),
        ("mae", HALF, HALF, pd.Series([pd.NA, "a"] * 50), {}, "is missing in 50 of 100 places"),
        ("log_loss", TRUTH, HALF, pd.Series([[0.5, 0.5]] * 99 + [[1.0]]), {}, "rows of different lengths"),
        ("log_loss", TRUTH, HALF, pd.Series([[0.5, np.nan]] * 100), {}, "not finite in 100 of 100 rows"),
        ("roc_auc", TRUTH, *[np.full((100, 3), 1 / 3)] * 2, {"classes": [0, 1, 2]}, "A class has 0 rows"),
        ("rmsle", HALF, HALF, -HALF, {}, "negative in some rows"),
        ("r2", HALF, RISING, HALF, {}, "same in every row, where r2 has no meaning"),
        ("mae", HALF, RISING, HALF, {"groups": np.arange(100) % 3}, "come from 3 groups"),
        ("mae", HALF, RISING, HALF, {"groups": NAN}, "The group of a row is missing"),
        ("mae", HALF, RISING, HALF, {"groups": [1, 2]}, "groups have the shape (2,)"),
        ("mae", HALF, RISING, HALF, {"weights": -HALF}, "weights are negative"),
        ("mae", HALF, RISING, HALF, {"weights": [1.0]}, "weights have the shape (1,)"),
        ("mae", HALF, RISING, HALF, {"weights": np.arange(100) < 5}, "There are 5 rows with a weight"),
        ("mae", HALF, RISING, HALF, {"weights": np.full(100, "a")}, "The weights is text"),
        ("median_absolute_error", HALF, RISING, HALF, {"weights": HALF}, "takes no weights"),
        ("auroc", TRUTH, HALF, RISING, {}, "No metric is called 'auroc': did you mean"),
        ("neg_log_loss", TRUTH, HALF, RISING, {}, "did you mean log_loss?"),
        ("!", TRUTH, HALF, RISING, {}, "the known ones are accuracy,"),
    ],
)
def test_it_is_refused_in_one_sentence(
    name: str, truth: Any, champion: Any, challenger: Any, more: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(NotComparable) as refused:
        gain(name, truth, champion, challenger, confidence=0.95, **more)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        gain("mae", HALF, RISING, HALF, confidence=confidence)
    with pytest.raises(ValueError, match="not between 0 and 1"):
        level(confidence, 1)


def test_looks_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        level(0.95, 0)


def test_losses_of_rows_are_only_there_where_the_metric_is_their_mean() -> None:
    assert row_losses("accuracy", [0, 1, 1], [0, 0, 1]).tolist() == [0.0, 1.0, 0.0]
    assert row_losses("brier", ["a", "b"], [[0.9, 0.1], [0.5, 0.5]]).tolist() == pytest.approx([0.01, 0.25])
    with pytest.raises(NotComparable, match="roc_auc is not a mean of row losses"):
        row_losses("roc_auc", TRUTH, RISING)


def test_losses_of_some_rows_are_those_that_they_have_among_all_rows() -> None:
    truth, said = np.array([0.5, 2.0, 1.0]), np.array([0.5, 1.0, 0.5])
    of = losses_of("accuracy", truth, said)
    assert [of(slice(begin, begin + 1)).tolist() for begin in range(3)] == [[0.0], [1.0], [1.0]]
    of = losses_of("brier", ["a", "b", "c"], np.eye(3))
    assert of(slice(1, 3)).tolist() == [0.0, 0.0]
    with pytest.raises(NotComparable, match="not between 0 and 1"):
        losses_of("brier", [0, 1, 1], [0.5, 0.5, 1.5])


@pytest.mark.parametrize("name", [name for name, known in METRICS.items() if known.row_loss and name != "accuracy"])
def test_the_metric_is_the_mean_of_its_row_losses(name: str) -> None:
    made = pair(metric(name).name, 1)
    losses = row_losses(name, made.truth, made.champion)
    value = 1.0 - losses.mean() if metric(name).name == "accuracy" else losses.mean()
    assert made.gain().champion == pytest.approx(value)


@pytest.mark.parametrize("name", EVERY)
def test_a_difference_that_is_the_same_everywhere_and_values_at_the_edge_give_numbers(name: str) -> None:
    made = pair(name, 3)
    perfect = type(made)(name, made.truth, made.champion, made.truth.astype(float))
    found = perfect.gain()
    assert np.isfinite([found.estimate, found.low, found.high]).all()
    assert found.low <= found.estimate <= found.high


def test_a_shift_of_every_row_is_known_exactly() -> None:
    found = gain("mae", HALF, HALF + 0.25, HALF + 0.125, confidence=0.999)
    assert (found.estimate, found.low, found.high) == (0.125, 0.125, 0.125)


def test_text_booleans_objects_and_columns_in_another_order_are_the_same_classes() -> None:
    plain = gain("log_loss", TRUTH, HALF, 0.25 + RISING / 2.0, confidence=0.95)
    words = np.where(TRUTH == 1, "yes", "no")
    said = [np.stack([each, 1.0 - each], 1) for each in (HALF, 0.25 + RISING / 2.0)]
    assert gain("log_loss", TRUTH == 1, HALF, 0.25 + RISING / 2.0, confidence=0.95) == plain
    assert gain("log_loss", words.astype(object), HALF, 0.25 + RISING / 2.0, confidence=0.95) == plain
    turned = gain("log_loss", words, *said, confidence=0.95, classes=["yes", "no"])
    assert (turned.low, turned.high) == pytest.approx((plain.low, plain.high))


def test_a_class_without_rows_has_its_column() -> None:
    said = np.full((100, 3), 1.0 / 3.0)
    found = gain("log_loss", TRUTH, said, said, confidence=0.95, classes=[0, 1, 2])
    assert found.champion == pytest.approx(np.log(3.0))


def test_rows_of_one_class_have_a_loss_where_the_other_is_known() -> None:
    found = gain("log_loss", np.ones(100), HALF, HALF / 2.0, confidence=0.95, classes=[0, 1])
    assert (found.champion, found.challenger) == pytest.approx((np.log(2.0), np.log(4.0)))


def test_columns_of_a_data_frame_are_rows() -> None:
    frame = pd.DataFrame({"truth": TRUTH, "said": [[0.75, 0.25], [0.5, 0.5]] * 50})
    frame["truth"] = frame["truth"].astype("Int64")
    found = gain("brier", frame["truth"], frame["said"], np.full(100, 0.5), confidence=0.95)
    assert found.champion == pytest.approx((0.0625 + 0.25) / 2.0)


def test_accuracy_of_models_that_are_right_together_is_not_known_exactly() -> None:
    """No discordant row among a hundred still allows a few in a thousand."""
    one, other = TRUTH.copy(), TRUTH.copy()
    one[0], other[0] = 2, 3
    found = gain("accuracy", TRUTH, one, other, confidence=0.95)
    assert found.low < -0.02 < 0.02 < found.high


def _p90(truth: Any, said: Any) -> float:
    return float(np.quantile(abs(truth - said), 0.9))


def test_a_metric_of_ones_own_is_drawn_again() -> None:
    widest = Metric("p90", "lower", Needs.NUMBER, resampled(_p90))
    made = pair("mae", 5, rows=2000, better=0.3)
    found = gain(widest, made.truth, made.champion, made.challenger, confidence=0.95)
    assert (found.method, found.rows) == ("bootstrap", 2000)
    assert 0.0 < found.low < found.estimate < found.high


def test_a_metric_that_is_often_undefined_is_refused() -> None:
    def strange(truth: Any, said: Any) -> float:
        if truth[0] > 1.0:
            raise ValueError("no")
        return float(said.mean())

    odd = Metric("odd", "lower", Needs.NUMBER, resampled(strange))
    made = pair("mae", 5)
    with pytest.raises(NotComparable, match="not defined on"):
        gain(odd, made.truth, made.champion, made.challenger, confidence=0.9)
