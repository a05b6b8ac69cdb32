"""The deployer of Azure ML's batch endpoints keeps the contract, but for what only traffic has."""

from __future__ import annotations

from typing import Any

import pytest

from deployers.azureml.batch import AzureBatch
from tests.azureml import house
from tests.azureml.cloud import Cloud
from tests.contract.azureml_suite import OnAzure
from tests.contract.deployer_suite import Bench, MakeVersion, OneUncounted
from watcher.errors import Transient
from watcher.values import Example, Probe, Target

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

    def test_a_job_that_the_model_fails_fails_the_probe_for_good_in_its_own_words(
        self, bench: Bench, make_version: MakeVersion, cloud: Cloud, example: Example
    ) -> None:
        one = bench.launched(make_version(1))
        cloud.scoring_errors[one.name] = 500
        with pytest.raises(Transient):
            bench.deployer.probe(one, example)
        cloud.sleep(400)
        for _ in range(2):
            probe = bench.deployer.probe(one, example)
            assert (probe.ok, probe.version) == (False, 1)
            assert "Failed (UserError: KeyError: 'bmi')" in probe.detail
        assert len(cloud.jobs) == 1

    @pytest.mark.parametrize(
        "ending",
        [
            ("Canceled", {}),
            ("NotResponding", {}),
            ("Failed", {"code": "ServiceError", "message": "the store hiccups"}),
            ("Failed", {"code": "UserError", "innerError": {"code": "PreemptionError"}, "message": "pre-empted"}),
        ],
        ids=["cancelled", "silent", "service", "pre-empted"],
    )
    def test_a_job_that_says_nothing_of_the_model_is_followed_by_another_and_not_for_ever(
        self, bench: Bench, make_version: MakeVersion, cloud: Cloud, example: Example, ending: tuple[str, Any]
    ) -> None:
        one = bench.launched(make_version(1))
        cloud.job_endings = [ending] * 5

        def next_look() -> Probe | str:
            try:
                return bench.deployer.probe(one, example)
            except Transient as error:
                return str(error)
            finally:
                cloud.sleep(400)

        looks = [next_look() for _ in range(4)]
        assert [isinstance(look, str) for look in looks] == [True, True, True, False]
        last = looks[-1]
        assert isinstance(last, Probe)
        assert (last.ok, len(cloud.jobs)) == (False, 3)
        assert f"3 jobs scored nothing; job batchjob-2: {ending[0]}" in last.detail
        assert ending[1].get("message", "") in last.detail
        looks = [next_look() for _ in range(4)]
        assert isinstance(looks[-1], Probe)
        assert looks[-1].ok, "a later look is not bound by what an earlier one met"
        assert len(cloud.jobs) == 6

    def test_a_job_that_is_gone_is_followed_by_another(
        self, bench: Bench, make_version: MakeVersion, cloud: Cloud, example: Example
    ) -> None:
        one = bench.launched(make_version(1))
        with pytest.raises(Transient):
            bench.deployer.probe(one, example)
        lost = cloud.jobs.pop("batchjob-0")
        cloud.jobs["another"] = lost
        with pytest.raises(Transient, match="gone; another one scores"):
            bench.deployer.probe(one, example)
        cloud.sleep(400)
        assert bench.deployer.probe(one, example).ok
