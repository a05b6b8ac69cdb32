"""Evaluations as runs of a Databricks job keep the contract, with the real SDK and real models on a local workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.evaluator_suite import EvaluatorContract, ScoringContract
from tests.databricks.control_plane import TOKEN, Workspace, serving
from tests.databricks.evaluation_world import DatabricksWorld


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabricksWorld]:
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    with serving(Workspace()) as workspace:
        yield DatabricksWorld(workspace, tmp_path)


class TestDatabricksRuns(EvaluatorContract):
    """Every test of the contract."""


@pytest.mark.long
class TestDatabricksRunsAtLength(ScoringContract):
    """Every test of the contract."""
