"""The deployer of Azure ML's online endpoints keeps the contract: real SDKs over HTTPS, a local cloud behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from deployers.azureml.online import AzureOnline
from tests.azureml import house
from tests.azureml.cloud import KEY, Cloud
from tests.contract.deployer_suite import MakeVersion, MirroringContract, WaitUntil
from watcher.ports import Deployer
from watcher.values import Example, Target, Version

pytestmark = pytest.mark.slow
BROKEN = {"code": "ResourceNotReady", "message": "User container has crashed.\nModuleNotFoundError: xgboost"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    with house.azure(made):
        yield made
    assert made.wrong == []


@pytest.fixture(scope="module")
def one_deployer(cloud: Cloud) -> AzureOnline:
    """One for all tests: it keeps connections, and nothing else that a target could notice."""
    return house.deployer_on(cloud)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


class TestAzureOnline(MirroringContract):
    most = 50
    compares = False

    @pytest.fixture
    def deployer(self, cloud: Cloud, one_deployer: AzureOnline) -> Deployer:
        cloud.clear()
        cloud.be_quick()
        return one_deployer

    @pytest.fixture
    def target(self) -> Target:
        return house.target_at()

    @pytest.fixture
    def make_version(self, models: Path) -> MakeVersion:
        return lambda number: house.version_of(number, house.model_files(models, number))

    @pytest.fixture
    def broken_version(self, cloud: Cloud, deployer: Deployer, make_version: MakeVersion) -> Version:
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

    @pytest.fixture
    def traffic(self, cloud: Cloud, target: Target) -> Callable[[], Any]:
        def come() -> None:
            cloud.sleep(60.0)
            for _ in range(30):
                uri = f"{cloud.base}/score/{target.settings['endpoint']}"
                answer = requests.post(uri, data=b"{}", headers={"Authorization": f"Bearer {KEY}"}, timeout=5)
                assert answer.status_code == 200
            cloud.sleep(240.0)

        return come
