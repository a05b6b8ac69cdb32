"""Columns of a file become the arrays that they would be in memory."""

from __future__ import annotations

import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from evaluation.columns import Columns, mapped
from evaluation.statistics import gain, lying_in, values

COLUMNS: dict[str, pa.Array] = {
    "whole numbers": pa.array([3, 1, 2]),
    "single precision": pa.array([0.5, 1.5, -2.0], pa.float32()),
    "booleans": pa.array([True, False, True]),
    "text of several lengths": pa.array(["north", "", "zuidoost-ü"]),
    "categories": pa.array(["a", "b", "a"]).dictionary_encode(),
    "numbers, one missing": pa.array([1, None, 3]),
    "text, one missing": pa.array(["a", None, "b"]),
    "times": pa.array([1, 2, 3], pa.timestamp("us")),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"x": COLUMNS[name]}), tmp_path / "rows.parquet", row_group_size=2)
    expected: Any = COLUMNS[name].to_pandas()
    found = Columns(tmp_path / "rows.parquet")["x"]
    assert [repr(each) for each in found.tolist()] == [repr(each) for each in expected.to_numpy().tolist()]
    assert [each.name for each in tmp_path.iterdir()] == ["rows.parquet"], "nothing is left beside it"


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "accuracy"])
@pytest.mark.parametrize("grouped", [False, True])
def test_what_statistics_hold_of_each_row_lies_in_files_and_changes_no_number(
    metric: str, grouped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, count = np.random.default_rng(1), 400_000
    truth = (chance.random(count) < 0.4).astype(np.int8)
    sides = [1.0 / (1.0 + np.exp(-truth - noise * chance.normal(size=count))) for noise in (2.0, 1.5)]
    said = [(side > 0.5).astype(np.int8) if metric == "accuracy" else side for side in sides]
    groups = np.arange(count, dtype=np.int32) // 2 if grouped else None
    monkeypatch.setattr(values, "BLOCK", 8_192)
    ask = partial(gain, metric, truth, *said, confidence=0.95, groups=groups)
    expected = ask()
    tracemalloc.start()
    with lying_in(partial(mapped, tmp_path)):
        found = ask()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == expected
    # Groups are known by their names: 4 bytes each here, four times while they are put in order.
    assert most < 2 * count + (10 * count if grouped else 0)
    assert not [*tmp_path.iterdir()]
