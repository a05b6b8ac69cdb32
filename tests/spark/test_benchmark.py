"""The benchmark works in a world so small that it takes seconds."""

from __future__ import annotations

from pathlib import Path

from benchmarks import spark
from benchmarks.bench import Bench
from benchmarks.table import ROWS


def test_it_measures_every_row_of_its_own(tmp_path: Path) -> None:
    found = spark.run(Bench(tmp_path, rounds=1, size=0.002))
    assert set(found) == {row.key for row in ROWS if row.benchmark == "spark"}
    assert all(figure.told and figure.value > 0 for figure in found.values())
