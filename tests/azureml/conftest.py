"""A deployer that keeps its connections, on the cloud of the module."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployers.azureml.online import AzureOnline
from tests.azureml import house
from tests.azureml.cloud import Cloud
from tests.azureml.fixtures import cloud, models, whole_cloud
from tests.azureml.house import Bench

__all__ = ["cloud", "models", "whole_cloud"]


@pytest.fixture(scope="module")
def online(whole_cloud: Cloud) -> AzureOnline:
    return house.deployer_on(whole_cloud)


@pytest.fixture
def bench(cloud: Cloud, online: AzureOnline, models: Path) -> Bench:
    return Bench(cloud, online, house.target_at(), models)
