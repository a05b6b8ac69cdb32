"""The cloud of the tests and the deployers say what the SDK and the service's published description declare."""

from __future__ import annotations

import pytest

from tests.azureml import asked_and_answered, house
from tests.azureml.cloud import WORKSPACE_ID, Answer, Asked
from tests.azureml.house import Bench

pytestmark = pytest.mark.slow


def test_all_that_a_rollout_asks_and_is_answered_is_as_the_description_declares(bench: Bench) -> None:
    if asked_and_answered.description() is None:
        pytest.skip("the published description of the service is not beside the project: shared/azureml-swagger")
    asked_and_answered.seen.clear()
    bench.cloud.assets.clear()
    one, two = bench.launched(1), bench.launched(2)
    bench.shift((one, 90), (two, 10))
    assert bench.deployer.probe(two, house.EXAMPLE).ok
    bench.shift((two, 100))
    bench.deployer.retire(bench.target, one.name)
    assert {each.partition(" ")[0] for each in asked_and_answered.seen} >= {
        "OnlineEndpoints_Get", "OnlineEndpoints_CreateOrUpdate", "OnlineEndpoints_ListKeys",
        "OnlineDeployments_List", "OnlineDeployments_Get", "OnlineDeployments_CreateOrUpdate",
        "OnlineDeployments_Delete", "ModelVersions_List", "ModelVersions_CreateOrUpdate",
        "EnvironmentVersions_CreateOrUpdate",
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        b'{"location": "w", "properties": {"authMode": "Key", "traffik": {}}}',
        b'{"location": "w", "propertys": {}}',
    ],
)
def test_a_key_that_the_sdk_does_not_know_is_found(body: bytes) -> None:
    asked = Asked("PUT", f"{WORKSPACE_ID}/onlineEndpoints/churn", {}, {}, body)
    with pytest.raises(AssertionError, match="unknown to OnlineEndpoint"):
        asked_and_answered.check(asked, Answer(201))


def test_a_value_that_the_description_does_not_know_is_found() -> None:
    if asked_and_answered.description() is None:
        pytest.skip("the published description of the service is not beside the project: shared/azureml-swagger")
    body = b'{"location": "w", "properties": {"authMode": "Password", "traffic": {"a": "100"}}}'
    version = {"api-version": "2023-04-01-preview"}
    with pytest.raises(AssertionError) as caught:
        asked_and_answered.check(Asked("PUT", f"{WORKSPACE_ID}/onlineEndpoints/e", version, {}, body), Answer(202))
    assert "'Password' is none of" in str(caught.value)
    assert "'100' is not of type integer" in str(caught.value)
