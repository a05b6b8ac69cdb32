"""The deployer of Databricks serving endpoints keeps the contract, with the real SDK against a local workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from databricks.sdk.service.serving import EndpointStateConfigUpdate

from deployers.databricks.serving import DatabricksServing
from tests.contract.deployer_suite import Bench, DeployerContract, WaitUntil
from tests.databricks.control_plane import TOKEN, Workspace, serving
from watcher.ports import Deployer
from watcher.values import Example, Identity, Kind, Status, Target, Version


class Patient(Bench):
    """Weights are in force once the change that carries them is through; until then nothing else can be changed."""

    def __init__(self, workspace: Workspace, deployer: Deployer, target: Target, wait_until: WaitUntil) -> None:
        super().__init__(deployer, target, wait_until)
        self.workspace = workspace

    def shift(self, weights: dict[str, int]) -> str:
        token = super().shift(weights)
        self.wait_until(self._through)
        assert self.observe().token == token
        return token

    def _through(self) -> bool:
        self.observe()
        return self.workspace.endpoints["churn"].update is EndpointStateConfigUpdate.NOT_UPDATING


class TestDatabricksServing(DeployerContract):
    @pytest.fixture
    def workspace(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
        monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
        with serving(Workspace()) as workspace:
            yield workspace

    @pytest.fixture
    def deployer(self, workspace: Workspace) -> DatabricksServing:
        return DatabricksServing(now=lambda: workspace.now)

    @pytest.fixture
    def target(self, workspace: Workspace) -> Target:
        settings = {"host": workspace.url, "endpoint": "churn"}
        return Target(
            "api", "databricks-serving", Kind.ENDPOINT, "ml.risk.churn", "tests", "databricks-serving:churn", settings
        )

    @pytest.fixture
    def make_version(self) -> Callable[[int], Version]:
        def make(number: int) -> Version:
            return Version(Identity("ml.risk.churn", number, 1_700 + number, "s"), Status.READY, "dbfs:/m")

        return make

    @pytest.fixture
    def broken_version(self, workspace: Workspace, make_version: Callable[[int], Version]) -> Version:
        workspace.broken["9"] = "the container image could not be built\nsee the logs"
        return make_version(9)

    @pytest.fixture
    def mend(self, workspace: Workspace) -> Callable[[], None]:
        return workspace.broken.clear

    @pytest.fixture
    def wait_until(self, workspace: Workspace) -> Callable[[Callable[[], bool]], None]:
        def wait(condition: Callable[[], bool]) -> None:
            for _ in range(20):
                if condition():
                    return
                workspace.now += 1
            raise AssertionError("it did not come to be within 20 looks")

        return wait

    @pytest.fixture
    def example(self) -> Example:
        return Example(b'{"inputs": [1]}')

    @pytest.fixture
    def traffic(self, workspace: Workspace) -> Callable[[], None]:
        return workspace.traffic

    @pytest.fixture
    def bench(self, workspace: Workspace, deployer: DatabricksServing, target: Target, wait_until: WaitUntil) -> Bench:
        return Patient(workspace, deployer, target, wait_until)
