"""The benchmark of Azure ML measures what it says, in a small world."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.azureml import run
from benchmarks.bench import Bench


@pytest.mark.long
def test_a_small_world_is_measured_whole(tmp_path: Path) -> None:
    found = run(Bench(tmp_path, rounds=1, size=0.25))
    assert found["azureml_calls"].value == 2.0
    assert found["azureml_calls"].told == "a release starts on 2 online and 1 batch endpoints"
    assert found["azureml_canary_calls"].value == 4.0
    assert "; 2 are Azure Monitor's" in found["azureml_canary_calls"].told
    assert 0.1 <= found["azureml_seconds"].value < 3.0
    assert 1.0 <= found["azureml_memory"].value < 2.0
