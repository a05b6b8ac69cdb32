"""Columns of a file become the arrays that they would be in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from evaluation.columns import Columns

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
