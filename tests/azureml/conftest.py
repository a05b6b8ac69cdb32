"""One cloud for a module's tests, empty for each of them; a deployer that keeps its connections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployers.azureml.online import AzureOnline
from tests.azureml import house
from tests.azureml.cloud import Cloud
from tests.azureml.house import Bench


@pytest.fixture(scope="module")
def whole_cloud() -> Iterator[Cloud]:
    made = Cloud()
    with house.azure(made):
        yield made
    assert made.wrong == []


@pytest.fixture
def cloud(whole_cloud: Cloud) -> Cloud:
    whole_cloud.clear()
    whole_cloud.be_quick()
    return whole_cloud


@pytest.fixture(scope="module")
def online(whole_cloud: Cloud) -> AzureOnline:
    return house.deployer_on(whole_cloud)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def bench(cloud: Cloud, online: AzureOnline, models: Path) -> Bench:
    return Bench(cloud, online, house.target_at(), models)
