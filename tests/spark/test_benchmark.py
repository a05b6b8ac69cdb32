"""The benchmarks work in a world so small that it takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bench import Bench
from benchmarks.table import ELSEWHERE, ROWS
from scoring.spark import session


@pytest.mark.parametrize("name", ["spark", pytest.param("spark_stream", marks=pytest.mark.long)])
def test_a_benchmark_measures_every_row_of_its_own(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The jars that this Spark has resolved already.
    monkeypatch.setenv("SCORING_JARS", session.get().conf.get("spark.jars"))
    found = ELSEWHERE[name](Bench(tmp_path, rounds=1, size=0.002))
    assert {row.key for row in ROWS if row.benchmark == name} == set(found)
    assert all(figure.told for figure in found.values())
    assert {key: found[key].value for key in found if key.endswith("_wrong")} in ({}, {"spark_stream_wrong": 0})
