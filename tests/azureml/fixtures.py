"""One cloud for a module's tests, and the files of its models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.azureml import house
from tests.azureml.cloud import Cloud


@pytest.fixture(scope="module")
def whole_cloud() -> Iterator[Cloud]:
    made = Cloud()
    with house.azure(made):
        yield made
    assert made.wrong == []


@pytest.fixture
def cloud(whole_cloud: Cloud) -> Cloud:
    """Empty for each test."""
    whole_cloud.clear()
    whole_cloud.be_quick()
    return whole_cloud


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")
