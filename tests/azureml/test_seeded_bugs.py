"""Bugs that a deployer of Azure ML could have, each put into the real one and caught by the suite of the contract."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
import requests

from deployers.azureml import endpoints, marks, metrics, scoring
from deployers.azureml.azure import Azure
from deployers.azureml.marks import EndpointMarks
from deployers.azureml.online import AzureOnline
from tests.azureml import house
from tests.azureml.cloud import KEY, Cloud
from tests.contract import deployer_suite
from tests.contract.deployer_suite import DeployerContract
from watcher.errors import WatcherError
from watcher.values import State

pytestmark = pytest.mark.slow
Bug = Callable[[], Any]


def _forgets_the_identity() -> Any:
    launch = AzureOnline._launch  # noqa: SLF001 - the bug is put into it

    def by_name(self: AzureOnline, release: Any, left: Any) -> None:
        if self.observe(release.target).release(release.name) is None:
            launch(self, release, left)

    return (patch.object(AzureOnline, "_launch", by_name),)


def _ignores_the_token() -> Any:
    return (patch.object(endpoints, "_token", lambda *_: "always-the-same"),)


def _keeps_its_token() -> Any:
    return (patch.object(EndpointMarks, "moved", lambda self, _traffic, now: replace(self, since=now)),)


def _believes_everything_is_ready() -> Any:
    return (patch.object(AzureOnline, "_all_ready", lambda *_: None),)


def _leaves_failed_ones_failed() -> Any:
    def state(found: dict[str, Any]) -> str:
        told = str(found["properties"].get("provisioningState"))
        # Only where a launch looks: the listing goes by the real one.
        caller = inspect.stack()[1].function
        return "Creating" if told == "Failed" and caller == "_launch" else told

    return (patch.object(endpoints, "state_of", state),)


def _starts_again_what_is_starting() -> Any:
    return (patch.object(Azure, "deployment", lambda *_: None),)


def _serves_everybody() -> Any:
    return (patch.object(marks, "foreign", lambda *_: None),)


def _takes_all_deployments_for_ours() -> Any:
    return patch.object(marks, "is_ours", lambda *_: True), patch.object(marks, "foreign", lambda *_: None)


def _adds_weights_to_those_that_are_there() -> Any:
    whole = AzureOnline._with_traffic  # noqa: SLF001 - the bug is put into it

    def merged(
        self: AzureOnline, properties: dict[str, Any], traffic: Mapping[str, int], copies: Mapping[str, int]
    ) -> dict[str, Any]:
        return whole(self, properties, traffic or properties["traffic"], copies)

    return (patch.object(AzureOnline, "_with_traffic", merged),)


def _shows_weights_of_zero() -> Any:
    def shown(self: AzureOnline, target: Any) -> Any:
        seen = observe(self, target)
        return replace(seen, weights={release.name: seen.weights.get(release.name, 0) for release in seen.releases})

    observe = AzureOnline.observe
    return (patch.object(AzureOnline, "observe", shown),)


def _counts_from_the_beginning() -> Any:
    ask = metrics._ask  # noqa: SLF001 - the bug is put into it
    return (
        patch.object(metrics, "_ask", lambda azure, key, since, now: ask(azure, key, since - 3600, now)),
        patch.object(metrics, "MINUTE", 1),
    )


def _asks_whoever_has_the_traffic() -> Any:
    post = scoring._post  # noqa: SLF001 - the bug is put into it

    def without(uri: str, body: bytes, headers: dict[str, str]) -> Any:
        return post(uri, body, {key: value for key, value in headers.items() if key != scoring.DEPLOYMENT})

    return (patch.object(scoring, "_post", without),)


def _deletes_what_serves() -> Any:
    retire = AzureOnline._retire  # noqa: SLF001 - the bug is put into it

    def emptied(self: AzureOnline, target: Any, name: str) -> None:
        seen = self.observe(target)
        if name in seen.weights:
            self.shift(target, {}, seen.token)
        retire(self, target, name)

    return (patch.object(AzureOnline, "_retire", emptied),)


def _forgets_to_delete() -> Any:
    return (patch.object(Azure, "delete_deployment", lambda *_: None),)


def _takes_starting_for_ready() -> Any:
    return (
        patch.object(endpoints, "_release_state", lambda *_: State.READY),
        patch.object(AzureOnline, "_told", staticmethod(lambda _azure, release, _deployments: release)),
    )


def _says_nothing_of_a_failure() -> Any:
    return (patch.object(AzureOnline, "_told", staticmethod(lambda _azure, release, _deployments: release)),)


BUGS: Mapping[str, tuple[Bug, str]] = {
    "a name is enough": (_forgets_the_identity, "the_same_name_with_another_identity"),
    "the token is not compared": (_ignores_the_token, "a_token_that_is_not_the_last_one"),
    "a write keeps the token": (_keeps_its_token, "every_write_of_the_weights_changes"),
    "readiness is not looked at": (_believes_everything_is_ready, "traffic_to_a_failed_release"),
    "absence is not looked at": (_believes_everything_is_ready, "traffic_to_a_release_that_is_not_there"),
    "a failed one stays failed": (_leaves_failed_ones_failed, "a_failed_release_is_started_again"),
    "it is started twice": (_starts_again_what_is_starting, "launching_while_it_starts"),
    "any owner's will do": (_serves_everybody, "another_owner_is_told"),
    "any model's will do": (_takes_all_deployments_for_ours, "a_place_serves_one_model"),
    "it cannot be emptied": (_adds_weights_to_those_that_are_there, "a_target_may_be_emptied"),
    "zero is shown": (_shows_weights_of_zero, "only_weights_above_zero"),
    "old figures count": (_counts_from_the_beginning, "counts_start_again"),
    "the header is left out": (_asks_whoever_has_the_traffic, "a_probe_is_answered_by_the_release"),
    "what serves is deleted": (_deletes_what_serves, "a_live_release_is_not_retired"),
    "nothing is deleted": (_forgets_to_delete, "an_idle_release_is_retired"),
    "starting is ready": (_takes_starting_for_ready, "a_release_that_cannot_come_up_says_why"),
    "a failure has no words": (_says_nothing_of_a_failure, "a_release_that_cannot_come_up_says_why"),
}


SLICE = frozenset({"the token is not compared", "any owner's will do", "the header is left out"})
"""Those that every run puts in; the others follow in the long one."""


@contextmanager
def _put(bug: Bug) -> Iterator[None]:
    parts = bug()
    for part in parts:
        part.start()
    try:
        yield
    finally:
        for part in reversed(parts):
            part.stop()


def _hold(bench: house.Bench, test: str) -> None:
    """One test of the contract's suite, as pytest would call it."""
    (name,) = [each for each in dir(DeployerContract) if each.startswith(f"test_{test}")]
    cloud, target = bench.cloud, bench.target

    def traffic() -> None:
        _come(cloud, bench.endpoint)

    cloud.broken["9"] = {"code": "ResourceNotReady", "message": "it crashed"}
    fixtures = {
        "bench": deployer_suite.Bench(bench.deployer, target, house.waiting(cloud)),
        "make_version": bench.version,
        "broken_version": bench.version(9),
        "mend": cloud.broken.clear,
        "example": house.EXAMPLE,
        "traffic": traffic,
    }
    method = getattr(DeployerContract(), name)
    method(**{each: fixtures[each] for each in inspect.signature(method).parameters})


def _come(cloud: Cloud, endpoint: str) -> None:
    cloud.sleep(60.0)
    for _ in range(10):
        headers = {"Authorization": f"Bearer {KEY}"}
        assert requests.post(f"{cloud.base}/score/{endpoint}", data=b"{}", headers=headers, timeout=5).ok
    cloud.sleep(240.0)


@pytest.mark.parametrize(
    "name", [name if name in SLICE else pytest.param(name, marks=pytest.mark.long) for name in BUGS]
)
def test_a_bug_is_caught_by_the_contract(bench: house.Bench, name: str) -> None:
    bug, test = BUGS[name]
    with _put(bug), pytest.raises((AssertionError, WatcherError, pytest.fail.Exception)):
        _hold(bench, test)
