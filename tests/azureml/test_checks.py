"""`watcher check` says before anything is created what would fail on Azure ML."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import deployers
from deployers.azureml.batch import AzureBatch
from deployers.azureml.checks import not_allowed
from tests.azureml import house
from tests.azureml.cloud import MOST_DEPLOYMENTS, SHORT, Cloud
from tests.azureml.house import Bench
from watcher.errors import Terminal
from watcher.values import Artifacts, Column, EvidenceOf, Identity, Signature

pytestmark = pytest.mark.slow
IDENTITY = Identity("churn", 1, 1_700_000_000_000, "s")
SIGNATURE = Signature((Column("x", "double"),), None)


def test_a_place_where_nothing_would_fail_is_only_read(bench: Bench) -> None:
    assert list(bench.deployer.check(bench.target)) == []
    assert not [call for call in bench.cloud.calls if not call.startswith("GET")]
    assert bench.endpoint not in bench.cloud.endpoints


def _narrow(cloud: Cloud, _endpoint: str) -> None:
    cloud.wide = False


def _used_up(cloud: Cloud, _endpoint: str) -> None:
    cloud.quota = {"standardDSv2Family": (98, 100)}


def _by_hand(cloud: Cloud, endpoint: str) -> None:
    cloud.by_hand(endpoint, "blue")


def _full(cloud: Cloud, endpoint: str) -> None:
    for number in range(MOST_DEPLOYMENTS):
        cloud.by_hand(endpoint, f"idle-{number:02}", share=0)


def _blind(cloud: Cloud, _endpoint: str) -> None:
    cloud.monitored = set()


def _blind_there(cloud: Cloud, endpoint: str) -> None:
    cloud.monitored = set()
    cloud.by_hand(endpoint, "idle", share=0)


def _nothing(_cloud: Cloud, _endpoint: str) -> None:
    pass


@pytest.mark.parametrize(
    ("settings", "before", "told"),
    [
        ({}, _narrow, r"lacks .*/onlineEndpoints/write, .* and 5 more in the workspace: give it the role"),
        ({}, _blind, r"lacks Microsoft.Insights/metrics/read, .* Monitoring Reader on the workspace, or on churn-"),
        ({}, _blind_there, r"lacks Microsoft.Insights/metrics/read, .* Monitoring Reader on the endpoint churn-"),
        ({}, _used_up, r"takes 4.8 cores of standardDSv2Family .* and 2 are left in westeurope"),
        ({}, _by_hand, r"serves blue, made by hand: `watcher adopt prod.risk.churn/api --version N`"),
        ({}, _full, r"has 20 deployments, and Azure allows 20"),
        ({"instance_type": "Standard_NC99"}, _nothing, "no instance type Standard_NC99 in westeurope"),
        ({"environment": "ours:3"}, _nothing, "no environment ours with the version 3"),
        ({"environment": "ours"}, _nothing, "auto, no-code or NAME:VERSION"),
        ({"compute": "gone"}, _nothing, "There is no compute gone"),
        ({"compute": "aks", "endpoint": "c" * 31}, _nothing, "name has 30 characters at most, and c+ has 31"),
        ({"compute": "aks", "auth": "AADToken"}, _nothing, "no tokens of Microsoft Entra: write `auth: Key` or"),
        ({"compute": "aks", "request_timeout": 301.0}, _nothing, "300 s at most: lower `request_timeout`, .* 301 s"),
        ({"request_timeout": 181.0}, _nothing, "180 s at most: lower `request_timeout`, which is 181 s"),
        ({"compute": "aks", "instance_count": 51}, _nothing, "50 instances .* lower `instance_count`, which is 51"),
        ({"workspace": f"{SHORT}-gone"}, _nothing, "There is no workspace ml-workspace-gone"),
    ],
)
def test_it_is_said_what_would_fail(
    bench: Bench, settings: dict[str, Any], before: Callable[[Cloud, str], None], told: str
) -> None:
    target = house.target_at(**({"endpoint": bench.endpoint} | settings))
    quota = dict(bench.cloud.quota)
    before(bench.cloud, bench.endpoint)
    try:
        (said,) = bench.deployer.check(target)
    finally:
        bench.cloud.wide, bench.cloud.quota = True, quota
    assert re.search(told, said), said


@pytest.mark.parametrize("auth", ["Key", "AMLToken", "AADToken"])
def test_only_the_action_is_asked_for_that_a_probe_of_the_endpoint_needs(bench: Bench, auth: str) -> None:
    bench.cloud.by_hand(bench.endpoint, "idle", share=0)
    bench.cloud.endpoints[bench.endpoint].body["properties"]["authMode"] = auth
    actions = {"Key": "listkeys", "AMLToken": "token", "AADToken": "score"}
    bench.cloud.denied = [f"*/{action}/action" for each, action in actions.items() if each != auth]
    assert list(bench.deployer.check(bench.target)) == []
    bench.cloud.denied = [f"*/onlineEndpoints/{actions[auth]}/action"]
    assert (
        f"lacks Microsoft.MachineLearningServices/workspaces/onlineEndpoints/{actions[auth]}/action"
        in (bench.deployer.check(bench.target)[0])
    )


def test_a_role_on_the_endpoint_alone_is_enough_for_its_figures(bench: Bench) -> None:
    bench.cloud.by_hand(bench.endpoint, "idle", share=0)
    bench.cloud.monitored = {bench.endpoint}
    assert list(bench.deployer.check(bench.target)) == []


def test_a_batch_endpoint_needs_no_figures(bench: Bench) -> None:
    bench.cloud.monitored = set()
    deployer = AzureBatch(None, clock=bench.cloud.clock, sleep=bench.cloud.sleep)
    assert list(deployer.check(house.batch_target_at())) == []


@pytest.mark.parametrize(
    ("roles", "missing"),
    [
        ([{"actions": ["*"]}], []),
        ([{"actions": ["Microsoft.X/*"]}], []),
        ([{"actions": ["MICROSOFT.x/a/READ"]}], ["Microsoft.X/a/write"]),
        ([{"actions": ["*"], "notActions": ["*/write"]}], ["Microsoft.X/a/write"]),
        ([{"actions": ["*"], "notActions": ["*/write"]}, {"actions": ["*/write"]}], []),
        ([], ["Microsoft.X/a/read", "Microsoft.X/a/write"]),
    ],
)
def test_a_role_is_read_as_azure_means_it(roles: list[dict[str, list[str]]], missing: list[str]) -> None:
    assert not_allowed({"value": roles}, ["Microsoft.X/a/read", "Microsoft.X/a/write"]) == missing


MODEL_FILE = EvidenceOf(IDENTITY, mlflow="3.6.0", flavors=("python_function", "sklearn"), signature=SIGNATURE)


@pytest.mark.parametrize(
    ("settings", "changes", "told"),
    [
        ({}, {}, []),
        ({}, {"mlflow": "3.15.0", "signature": None}, []),
        ({"environment": "no-code"}, {}, []),
        ({"environment": "no-code"}, {"mlflow": "2.22.1"}, []),
        ({"environment": "no-code"}, {"mlflow": "unknown"}, []),
        ({"environment": "no-code"}, {"mlflow": "3.7.0"}, ["logged with MLflow 3.7.0.*environment: auto"]),
        ({"environment": "no-code"}, {"mlflow": "4.0"}, ["logged with MLflow 4.0"]),
        ({"environment": "no-code"}, {"signature": None}, ["no signature"]),
        ({"environment": "no-code"}, {"mlflow": "3.15.0", "signature": None}, ["MLflow 3.15.0", "no signature"]),
        ({}, {"flavors": ("spark",)}, ["no flavour python_function"]),
        ({"environment": "no-code"}, {"artifacts": Artifacts.UNKNOWN, "mlflow": "3.15.0"}, []),
    ],
)
def test_a_version_that_would_not_start_is_known_before_anything_is_created(
    settings: dict[str, str], changes: dict[str, Any], told: list[str]
) -> None:
    for kind in ("azureml-online", "azureml-batch"):
        ask = deployers.objections(kind)
        assert ask is not None
        said = ask(settings, replace(MODEL_FILE, **changes))
        assert [re.search(pattern, each) is not None for pattern, each in zip(told, said, strict=True)] == [True] * len(
            told
        )


def test_a_name_that_is_taken_in_the_region_is_told_when_the_endpoint_is_made(bench: Bench) -> None:
    bench.cloud.taken[bench.endpoint] = 400
    with pytest.raises(
        Terminal, match=r"There is already an endpoint with this name.* another workspace's .*`endpoint`"
    ):
        bench.deployer.launch(bench.release(1))
