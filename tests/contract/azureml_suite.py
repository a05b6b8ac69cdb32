"""What the suites of Azure ML's deployers are given: real SDKs over HTTPS, and a local cloud behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from deployers.azureml.endpoints import AzureEndpoints
from tests.azureml import house
from tests.azureml.cloud import Cloud
from tests.contract.deployer_suite import DeployerFixtures, MakeVersion, WaitUntil
from watcher.ports import Deployer
from watcher.values import Example, Version

BROKEN = {"code": "ResourceNotReady", "message": "User container has crashed.\nModuleNotFoundError: xgboost"}


class OnAzure(DeployerFixtures):
    """Override: `kind`, `target`, `traffic`."""

    kind: ClassVar[Callable[..., AzureEndpoints]]

    @pytest.fixture(scope="class")
    @classmethod
    def one_deployer(cls, whole_cloud: Cloud) -> Deployer:
        """One for all tests: it keeps connections, and nothing else that a target could notice."""
        return cls.kind(None, clock=whole_cloud.clock, sleep=whole_cloud.sleep)

    @pytest.fixture
    def deployer(self, cloud: Cloud, one_deployer: Deployer) -> Deployer:
        return one_deployer

    @pytest.fixture
    def make_version(self, models: Path) -> MakeVersion:
        return lambda number: house.version_of(number, house.model_files(models, number))

    @pytest.fixture
    def broken_version(self, cloud: Cloud, make_version: MakeVersion) -> Version:
        cloud.broken["9"] = BROKEN
        return make_version(9)

    @pytest.fixture
    def mend(self, cloud: Cloud) -> Callable[[], object]:
        return cloud.broken.clear

    @pytest.fixture
    def wait_until(self, cloud: Cloud) -> WaitUntil:
        return house.waiting(cloud)

    @pytest.fixture
    def example(self) -> Example:
        return house.EXAMPLE
