"""The deployer of Azure ML's batch endpoints keeps the contract, but for what only traffic has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deployers.azureml.batch import AzureBatch
from tests.azureml import house
from tests.azureml.cloud import Cloud
from tests.contract.deployer_suite import Bench, DeployerContract, MakeVersion, WaitUntil
from watcher.errors import Terminal, Transient
from watcher.ports import Deployer
from watcher.values import Example, Target, Version

pytestmark = pytest.mark.slow
DATA = "azureml://datastores/workspaceblobstore/paths/sample/"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    with house.azure(made):
        yield made
    assert made.wrong == []


@pytest.fixture(scope="module")
def one_deployer(cloud: Cloud) -> AzureBatch:
    return AzureBatch(None, clock=cloud.clock, sleep=cloud.sleep)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


class Fixtures:
    """What the suite and the tests beside it are given."""

    @pytest.fixture
    def bench(self, deployer: Deployer, target: Target, wait_until: WaitUntil) -> Bench:
        return Bench(deployer, target, wait_until)

    @pytest.fixture
    def deployer(self, cloud: Cloud, one_deployer: AzureBatch) -> Deployer:
        cloud.clear()
        cloud.be_quick()
        return one_deployer

    @pytest.fixture
    def target(self) -> Target:
        return house.batch_target_at()

    @pytest.fixture
    def make_version(self, models: Path) -> MakeVersion:
        return lambda number: house.version_of(number, house.model_files(models, number))

    @pytest.fixture
    def broken_version(self, cloud: Cloud, deployer: Deployer, make_version: MakeVersion) -> Version:
        cloud.broken["9"] = {"code": "BadImage", "message": "the image cannot be built"}
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
    def traffic(self) -> Callable[[], Any]:
        return lambda: None


@pytest.mark.long
class TestAzureBatch(Fixtures, DeployerContract):
    """The suite runs at every change on the online endpoints, which have all but a few lines in common with these."""

    def test_weights_are_absolute(self, bench: Bench, make_version: MakeVersion) -> None:
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        for name in (one.name, two.name, one.name):
            bench.shift({name: 100})
            assert dict(bench.observe().weights) == {name: 100}
        with pytest.raises(Terminal, match="one default"):
            bench.shift({one.name: 90, two.name: 10})
        assert dict(bench.observe().weights) == {one.name: 100}

    def test_a_live_release_is_not_retired(self, bench: Bench, make_version: MakeVersion) -> None:
        one = bench.launched(make_version(1))
        bench.shift({one.name: 100})
        with pytest.raises(Exception, match="live"):
            bench.deployer.retire(bench.target, one.name)
        assert bench.seen(one.name) is not None

    def test_counts_start_again_with_each_write_of_the_weights(
        self, bench: Bench, make_version: MakeVersion, traffic: Callable[[], Any]
    ) -> None:
        one = bench.launched(make_version(1))
        bench.shift({one.name: 100})
        seen = bench.seen(one.name)
        assert seen is not None
        assert seen.traffic.requests == 0


class TestBatchProbes(Fixtures):
    def test_a_probe_scores_the_sample_by_a_job_of_the_release_that_nobody_waits_for(
        self, bench: Bench, make_version: MakeVersion, cloud: Cloud, example: Example
    ) -> None:
        bench.target = house.batch_target_at(probe_data=DATA)
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        bench.shift({one.name: 100})
        for _ in range(3):
            with pytest.raises(Transient, match="job"):
                bench.deployer.probe(two, example)
        cloud.sleep(400)
        probe = bench.deployer.probe(two, example)
        assert (probe.ok, probe.version) == (True, 2), probe
        ((deployment, body, _),) = cloud.jobs.values()
        assert deployment == two.name
        assert body["properties"]["InputData"]["data"] == {"JobInputType": "UriFolder", "Uri": DATA}

    def test_a_job_that_fails_fails_the_probe(
        self, bench: Bench, make_version: MakeVersion, cloud: Cloud, example: Example
    ) -> None:
        bench.target = house.batch_target_at(probe_data=DATA)
        one = bench.launched(make_version(1))
        cloud.scoring_errors[one.name] = 500
        with pytest.raises(Transient):
            bench.deployer.probe(one, example)
        cloud.sleep(400)
        probe = bench.deployer.probe(one, example)
        assert not probe.ok
        assert "Failed" in probe.detail
