"""The deployer of Azure ML's online endpoints keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from deployers.azureml.online import AzureOnline
from tests.azureml import house
from tests.azureml.cloud import KEY, Cloud
from tests.contract.azureml_suite import OnAzure
from tests.contract.deployer_suite import MirroringContract
from watcher.values import Target

pytestmark = pytest.mark.slow


class TestAzureOnline(OnAzure, MirroringContract):
    kind = AzureOnline
    most = 50
    compares = False

    @pytest.fixture
    def target(self) -> Target:
        return house.target_at()

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
