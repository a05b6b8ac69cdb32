"""Evaluations as command jobs of Azure ML keep the contract, with the real SDK and real models on a local workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.azureml import house
from tests.azureml.cloud import Cloud
from tests.azureml.evaluation_world import AzuremlWorld
from tests.contract.evaluator_suite import EvaluatorContract, ScoringContract


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AzuremlWorld]:
    cloud = Cloud()
    with house.azure(cloud):
        yield AzuremlWorld(cloud, tmp_path)
    assert cloud.wrong == []


class TestAzuremlRuns(EvaluatorContract):
    """The life of one evaluation."""


@pytest.mark.long
class TestAzuremlRunsAtLength(ScoringContract):
    """The rest of it."""
