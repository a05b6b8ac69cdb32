"""The deployer of Azure ML's batch endpoints keeps the contract, but for what only traffic has."""

from __future__ import annotations

import pytest

from deployers.azureml.batch import AzureBatch
from tests.azureml import house
from tests.azureml.cloud import Cloud
from tests.contract.azureml_suite import OnAzure
from tests.contract.deployer_suite import Bench, MakeVersion, OneUncounted
from watcher.errors import Transient
from watcher.values import Example, Target

pytestmark = pytest.mark.slow
DATA = "azureml://datastores/workspaceblobstore/paths/sample/"


class OnBatch(OnAzure):
    kind = AzureBatch

    @pytest.fixture
    def target(self) -> Target:
        return house.batch_target_at(probe_data=DATA)


@pytest.mark.long
class TestAzureBatch(OnBatch, OneUncounted):
    """The suite runs at every change on the online endpoints, which have all but a few lines in common with these."""

    @pytest.fixture
    def target(self) -> Target:
        return house.batch_target_at()


class TestBatchProbes(OnBatch):
    def test_a_probe_scores_the_sample_by_a_job_of_the_release_that_nobody_waits_for(
        self, bench: Bench, make_version: MakeVersion, cloud: Cloud, example: Example
    ) -> None:
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
        one = bench.launched(make_version(1))
        cloud.scoring_errors[one.name] = 500
        with pytest.raises(Transient):
            bench.deployer.probe(one, example)
        cloud.sleep(400)
        probe = bench.deployer.probe(one, example)
        assert not probe.ok
        assert "Failed" in probe.detail
