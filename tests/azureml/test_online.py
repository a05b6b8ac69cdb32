"""What the contract suite does not ask of the deployer of Azure ML's online endpoints."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

import deployers
from deployers.azureml import scoring
from tests.azureml import house
from tests.azureml.cloud import MOST_DEPLOYMENTS, SHORT, WORKSPACE_ID, Operation
from tests.azureml.house import Bench
from tests.dripping import dripping
from watcher.errors import Conflict, Terminal, Transient, UnderWay, UserError
from watcher.values import Example, State

pytestmark = pytest.mark.slow


def test_what_is_started_is_left_and_nothing_is_printed(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.deployer.launch(bench.release(1))
    bench.cloud.sleep(700)
    bench.shift((bench.release(1), 100))
    assert bench.cloud.count("mfeOperationsStatus") == 0
    assert not [thread.name for thread in threading.enumerate() if "LROPoller" in thread.name]
    assert capfd.readouterr().out == ""


def test_what_the_sdk_warns_of_reaches_nobody(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    from azure.ai.ml import _azure_environments, _utils

    # As its import does, before this test's stderr was there.
    _utils._logger_utils.initialize_logger_info(logging.getLogger("azure.ai.ml"))  # noqa: SLF001 - as above
    house.deployer_on(bench.cloud).observe(bench.target)
    assert _azure_environments._get_clouds_by_metadata_url("https://127.0.0.1:9") == {}  # noqa: SLF001 - it warns
    assert capfd.readouterr().err == ""


def test_a_new_endpoint_and_its_deployments_carry_the_owner_and_the_identity(bench: Bench) -> None:
    release = bench.launched(1)
    tags = bench.cloud.endpoints[bench.endpoint].body["tags"]
    assert (tags["watcher.owner"], tags["watcher.model"]) == ("tests", house.MODEL)
    made = bench.body(release)["tags"]
    assert (made["watcher.owner"], made["watcher.key"]) == ("tests", release.version.identity.key)


def test_an_endpoint_that_takes_longer_than_a_verb_is_waited_for_by_later_launches(bench: Bench) -> None:
    bench.cloud.endpoint_seconds = 100.0
    with pytest.raises(UnderWay, match=f"^the endpoint {bench.endpoint} is being made or changed$"):
        bench.deployer.launch(bench.release(1))
    assert bench.observe().moving
    assert bench.deployments() == set()
    bench.cloud.sleep(120)
    assert not bench.observe().moving
    bench.deployer.launch(bench.release(1))
    assert bench.cloud.count("PUT /onlineEndpoints/[^/]+$") == 1
    assert bench.deployments() == {bench.release(1).name}


def test_a_failed_deployment_tells_what_its_operation_says(bench: Bench) -> None:
    details = [{"code": "Crash", "message": "ModuleNotFoundError: xgboost"}]
    bench.cloud.broken["3"] = {"code": "ResourceNotReady", "message": "it crashed\nat once", "details": details}
    bench.launched(3)
    seen = bench.seen(3)
    assert seen is not None
    assert seen.state is State.FAILED
    assert seen.detail == "ResourceNotReady: it crashed at once Crash: ModuleNotFoundError: xgboost"


def test_the_token_of_the_resource_manager_goes_to_no_other_address(bench: Bench) -> None:
    bench.cloud.broken["3"] = {"code": "ResourceNotReady", "message": "m"}
    release = bench.launched(3)
    there = bench.cloud.endpoints[bench.endpoint].deployments[release.name]
    there.body["properties"]["properties"] = {"AzureAsyncOperationUri": f"{bench.cloud.base}.evil.test/op"}
    calls = len(bench.cloud.calls)
    seen = bench.seen(3)
    assert seen is not None
    assert "not one of" in seen.detail
    assert len(bench.cloud.calls) == calls + 2


def test_while_traffic_is_not_to_be_seen_yet_the_target_moves_and_nothing_is_concluded(bench: Bench) -> None:
    release = bench.launched(1)
    bench.cloud.traffic_seconds, bench.cloud.traffic_lag = 30.0, 30.0
    bench.shift((release, 100))
    assert bench.observe().moving
    bench.cloud.sleep(80)
    after = bench.observe()
    assert (dict(after.weights), after.moving) == ({release.name: 100}, False)


def test_traffic_that_somebody_else_set_is_believed_once_ours_had_its_time(bench: Bench) -> None:
    one, two = bench.launched(1), bench.launched(2)
    bench.shift((one, 100))
    token = bench.observe().token
    bench.cloud.sleep(300)
    bench.cloud.move(bench.endpoint, {two.name: 100})
    after = bench.observe()
    assert dict(after.weights) == {two.name: 100}
    assert after.token != token
    with pytest.raises(Conflict):
        bench.deployer.shift(bench.target, {one.name: 100}, token)


@pytest.mark.parametrize("status", [400, 409])
def test_a_refusal_because_the_endpoint_is_changing_is_waited_out(bench: Bench, status: int) -> None:
    release = bench.launched(1)
    bench.cloud.fail(r"PUT /onlineEndpoints/[^/]+$", status, times=2)
    there = bench.cloud.endpoints[bench.endpoint]
    there.verb, there.operation.ends = "Updating", bench.cloud.now + 2.5
    bench.shift((release, 100))
    assert bench.cloud.traffic(bench.endpoint) == {release.name: 100}


def test_a_refusal_that_stays_while_nothing_changes_is_final(bench: Bench) -> None:
    release = bench.launched(1)
    bench.cloud.fail(r"PUT /onlineEndpoints/[^/]+$", 400, times=9)
    with pytest.raises(Terminal, match="injected"):
        bench.shift((release, 100))


def test_an_endpoint_that_says_it_is_through_may_refuse_for_some_seconds_more(bench: Bench) -> None:
    release = bench.launched(1)
    bench.cloud.fail(r"PUT /onlineEndpoints/[^/]+$", 400, times=2)
    bench.shift((release, 100))
    assert bench.cloud.traffic(bench.endpoint) == {release.name: 100}


@pytest.mark.parametrize(("status", "there"), [(409, False), (409, True), (400, True)])
def test_an_endpoint_that_cannot_be_made_because_it_is_changing_is_no_mistake(
    bench: Bench, status: int, there: bool
) -> None:
    """Somebody makes it, or deletes it, at the same time: it shows, or does not show yet."""
    bench.cloud.fail(r"PUT /onlineEndpoints/[^/]+$", status, times=4)
    if there:
        bench.cloud.by_hand(bench.endpoint, "idle", share=0)
        bench.cloud.endpoints[bench.endpoint].operation.ends = bench.cloud.now + 60
        bench.cloud.fail(r"GET /onlineEndpoints/[^/]+$", 404, times=1)
    with pytest.raises(Transient):
        bench.deployer.launch(bench.release(1))
    bench.cloud.faults.clear()
    bench.cloud.sleep(120)
    bench.launched(1)
    seen = bench.seen(1)
    assert seen is not None
    assert seen.state is State.READY


def test_an_endpoint_with_as_many_deployments_as_azure_allows_waits_for_a_person(bench: Bench) -> None:
    for number in range(MOST_DEPLOYMENTS):
        bench.cloud.by_hand(bench.endpoint, f"idle-{number:02}", share=0)
    with pytest.raises(Transient, match="has 20 deployments, and Azure allows 20: delete some of them"):
        bench.deployer.launch(bench.release(1))
    del bench.cloud.endpoints[bench.endpoint].deployments["idle-07"]
    bench.launched(1)
    assert bench.release(1).name in bench.deployments()


def test_throttling_says_when_to_come_again(bench: Bench) -> None:
    bench.cloud.fail(r"GET /onlineEndpoints", 429, times=9, headers={"Retry-After": "33"})
    with pytest.raises(Transient) as caught:
        bench.observe()
    assert caught.value.retry_after == 33.0
    assert bench.cloud.count("GET /onlineEndpoints") == 1, "a pause that is too long for a call is the loop's"


@pytest.mark.parametrize(
    ("status", "kind", "said"), [(403, Terminal, "lacks a role"), (401, Transient, "token"), (500, Transient, "500")]
)
def test_refusals_are_told_apart_by_their_status(bench: Bench, status: int, kind: type[Exception], said: str) -> None:
    bench.cloud.fail(r"GET /onlineEndpoints", status, times=9)
    with pytest.raises(kind, match=said if status != 500 else "injected"):
        bench.observe()


def test_without_an_identity_it_says_how_to_get_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "of-another-host")
    with pytest.raises(Transient, match="az login"):
        house.deployer_on(bench.cloud).observe(bench.target)


def test_a_hand_made_deployment_is_not_touched_before_adopt_then_drained_and_never_deleted(bench: Bench) -> None:
    bench.cloud.by_hand(bench.endpoint, "blue")
    seen = bench.observe()
    assert (seen.adopted, dict(seen.weights)) == (False, {"blue": 100})
    with pytest.raises(Conflict, match="adopt"):
        bench.deployer.launch(bench.release(8))
    bench.deployer.adopt(bench.target, bench.version(7))
    bench.cloud.sleep(30)
    adopted = bench.observe()
    assert adopted.adopted
    blue = adopted.release("blue")
    assert blue is not None
    assert (blue.version, blue.ours, blue.key) == (7, False, "")
    release = bench.launched(8)
    bench.shift((release, 100))
    assert bench.cloud.traffic(bench.endpoint) == {release.name: 100}
    with pytest.raises(Conflict, match="not made by this watcher"):
        bench.deployer.retire(bench.target, "blue")
    assert "blue" in bench.deployments()


def test_a_change_of_traffic_leaves_the_rest_of_a_hand_made_endpoint_as_it_was(bench: Bench) -> None:
    bench.cloud.by_hand(bench.endpoint, "blue")
    bench.cloud.by_hand(bench.endpoint, "shadow", share=0)
    before = json.loads(json.dumps(bench.cloud.endpoints[bench.endpoint].body))
    before["properties"]["mirrorTraffic"] = {"shadow": 20}
    bench.cloud.endpoints[bench.endpoint].body = json.loads(json.dumps(before))
    bench.cloud.endpoints[bench.endpoint].copied = {"shadow": 20}
    bench.deployer.adopt(bench.target, bench.version(7))
    after = bench.cloud.endpoints[bench.endpoint].body
    kept = {key: value for key, value in after["tags"].items() if not key.startswith("watcher.")}
    assert kept == before["tags"]
    assert after["properties"] == before["properties"]
    assert (after["identity"], after["kind"], after["location"]) == (
        {"type": "SystemAssigned"},
        "Managed",
        "westeurope",
    )


def test_there_is_nothing_to_adopt_where_nothing_was_made_by_hand(bench: Bench) -> None:
    with pytest.raises(Terminal, match="no endpoint"):
        bench.deployer.adopt(bench.target, bench.version(1))
    bench.shift((bench.launched(1), 100))
    with pytest.raises(Terminal, match="nothing that was made by hand"):
        bench.deployer.adopt(bench.target, bench.version(1))


def test_several_hand_made_deployments_are_not_adopted_at_once(bench: Bench) -> None:
    bench.cloud.by_hand(bench.endpoint, "blue", 60)
    bench.cloud.by_hand(bench.endpoint, "green", 40)
    with pytest.raises(Terminal, match="blue, green"):
        bench.deployer.adopt(bench.target, bench.version(1))


def test_tags_of_the_endpoint_that_were_removed_by_others_lose_nothing(bench: Bench) -> None:
    release = bench.launched(1)
    bench.shift((release, 100))
    bench.cloud.endpoints[bench.endpoint].body["tags"] = {}
    seen = bench.observe()
    assert (seen.problem, seen.adopted, dict(seen.weights)) == (None, True, {release.name: 100})
    bench.launched(2)
    assert bench.cloud.endpoints[bench.endpoint].body["tags"]["watcher.owner"] == "tests"
    assert bench.cloud.traffic(bench.endpoint) == {release.name: 100}


def test_an_answer_that_names_no_deployment_proves_nothing(bench: Bench) -> None:
    release = bench.launched(1)
    bench.cloud.mute = True
    probe = bench.deployer.probe(release, house.EXAMPLE)
    assert (probe.ok, probe.version) == (False, None)


def test_a_probe_that_fails_says_what_was_answered(bench: Bench) -> None:
    release = bench.launched(1)
    bench.cloud.scoring_errors[release.name] = 424
    probe = bench.deployer.probe(release, house.EXAMPLE)
    assert not probe.ok
    assert probe.detail.startswith("424: ")
    assert "it cannot be scored" in probe.detail


@pytest.mark.parametrize("auth", ["Key", "AMLToken", "AADToken"])
def test_a_probe_proves_who_asks_as_the_endpoint_wants_it(bench: Bench, auth: str) -> None:
    bench.target = house.target_at(auth=auth)
    release = bench.launched(1)
    assert bench.cloud.endpoints[bench.endpoint].body["properties"]["authMode"] == auth
    assert bench.deployer.probe(release, house.EXAMPLE).ok


def test_a_probe_leaves_no_header_behind_for_later_calls(bench: Bench) -> None:
    one, two = bench.launched(1), bench.launched(2)
    bench.shift((one, 100))
    assert bench.deployer.probe(two, house.EXAMPLE).version == 2
    assert bench.deployer.probe(one, house.EXAMPLE).version == 1


def test_an_endpoint_of_a_cluster_that_answers_in_clear_is_asked_by_its_own_key(bench: Bench) -> None:
    bench.target = house.target_at(compute="aks")
    one = bench.launched(1)
    probe = bench.deployer.probe(one, house.EXAMPLE)
    assert (probe.ok, probe.version) == (True, 1), probe


@pytest.mark.parametrize("settings", [{}, {"compute": "aks", "auth": "AADToken"}], ids=["managed", "token"])
def test_no_other_credential_is_sent_in_clear(bench: Bench, settings: dict[str, str]) -> None:
    bench.cloud.in_clear = True
    bench.target = house.target_at(**settings)
    one = bench.launched(1)
    with pytest.raises(Terminal, match="not https"):
        bench.deployer.probe(one, house.EXAMPLE)
    assert bench.cloud.count("POST /score") == 0


def test_an_answer_that_drips_ends_a_probe_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "WHOLE", 0.3)
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n") as uri, pytest.raises(Transient, match=r"0\.3 s"):
        scoring.score(uri, "k", "d", house.EXAMPLE, in_clear=True)


def test_a_live_release_is_refused_by_us_before_azure_is_asked(bench: Bench) -> None:
    release = bench.launched(1)
    bench.shift((release, 100))
    with pytest.raises(Conflict, match="live"):
        bench.deployer.retire(bench.target, release.name)
    assert bench.cloud.count("DELETE") == 0


def test_kubernetes_endpoints_name_their_cluster(bench: Bench) -> None:
    bench.target = house.target_at(compute="aks", instance_type="small")
    release = bench.launched(1)
    there = bench.cloud.endpoints[bench.endpoint].body
    assert there["properties"]["compute"] == f"{WORKSPACE_ID}/computes/aks"
    body = bench.body(release)
    assert (body["properties"]["endpointComputeType"], body["properties"]["instanceType"]) == ("Kubernetes", "small")


@pytest.mark.parametrize("name", ["", "ab", "A-big-one", "1st", "ends-", "under_score", "x" * 33, 5])
def test_a_name_that_azure_refuses_is_the_persons_mistake(name: object) -> None:
    with pytest.raises(UserError, match="3 to 32"):
        deployers.place("azureml-online", {"workspace": SHORT, "endpoint": name})


@pytest.mark.parametrize("given", ["", "ws", "a/b", "a/b/c/d", "../b/c", None, f"{WORKSPACE_ID}/onlineEndpoints/e"])
def test_a_workspace_that_is_none_is_the_persons_mistake(given: object) -> None:
    with pytest.raises(UserError, match="workspace"):
        deployers.place("azureml-online", {"workspace": given, "endpoint": "churn"})


def test_two_ways_to_write_a_workspace_are_one_place() -> None:
    places = {
        deployers.place("azureml-online", {"workspace": each, "endpoint": "churn"})
        for each in (SHORT, WORKSPACE_ID, SHORT.upper(), WORKSPACE_ID.lower())
    }
    assert len(places) == 1


def _launch(bench: Bench) -> None:
    bench.deployer.launch(bench.release(2))


def _shift(bench: Bench) -> None:
    bench.shift((bench.release(1), 100))


def _retire(bench: Bench) -> None:
    bench.deployer.retire(bench.target, bench.release(1).name)


@pytest.mark.parametrize(
    "loses_only_the_answer", [pytest.param(False, marks=pytest.mark.long), True], ids=["before", "after"]
)
@pytest.mark.parametrize("verb", [_launch, _shift, _retire], ids=["launch", "shift", "retire"])
def test_an_outage_from_any_call_on_is_met_by_doing_it_again(
    bench: Bench, verb: Callable[[Bench], None], loses_only_the_answer: bool
) -> None:
    """Azure goes out at each call of a verb in turn; afterwards another watcher does it again."""
    # What is registered and uploaded once makes no calls any more: each round has as many as the one before.
    bench.launched(2)
    many = None
    for answered in range(40):
        bench.target = house.target_at()
        bench.launched(1)
        if many is not None and answered >= many:
            break
        bench.cloud.outage = (answered, loses_only_the_answer)
        with pytest.raises(Transient):
            verb(bench)
        bench.cloud.outage = None
        bench.cloud.sleep(60)
        other = house.deployer_on(bench.cloud)
        other._azures = bench.deployer._azures  # noqa: SLF001 - connections cost a second, and hold nothing else
        bench.deployer = other
        calls = len(bench.cloud.calls)
        _again(bench, verb)
        many = many or len(bench.cloud.calls) - calls
        bench.cloud.sleep(700)
        _has_its_end(bench, verb)
    else:
        raise AssertionError("a verb makes fewer calls")


def _again(bench: Bench, verb: Callable[[Bench], None]) -> None:
    for _ in range(5):
        try:
            verb(bench)
        except (Conflict, Transient):
            bench.cloud.sleep(60)
        else:
            return
    raise AssertionError("the verb never got through")


def _has_its_end(bench: Bench, verb: Callable[[Bench], None]) -> None:
    seen = bench.observe()
    names = {release.name for release in seen.releases}
    if verb is _launch:
        assert names == {bench.release(1).name, bench.release(2).name}
        assert all(release.state is State.READY for release in seen.releases)
    elif verb is _shift:
        assert dict(seen.weights) == {bench.release(1).name: 100}
    else:
        assert names == set()


def test_an_example_for_serving_without_a_script_is_put_under_input_data(bench: Bench) -> None:
    bench.target = house.target_at(environment="no-code")
    release = bench.launched(1)
    properties = bench.body(release)["properties"]
    assert "environmentId" not in properties
    assert "codeConfiguration" not in properties
    assert bench.deployer.probe(release, house.EXAMPLE).ok
    with pytest.raises(Terminal, match="JSON"):
        bench.deployer.probe(release, Example(b"a,b\n1,2\n", "text/csv"))


def test_a_failure_without_a_script_names_what_is_known_of_it(bench: Bench) -> None:
    bench.target = house.target_at(environment="no-code")
    bench.cloud.broken["3"] = {"code": "Liveness", "message": "502"}
    bench.launched(3)
    seen = bench.seen(3)
    assert seen is not None
    assert seen.detail.startswith("Liveness: 502 (models logged with MLflow 3.7 or newer")


def test_a_place_of_another_owner_is_told_by_check_and_a_missing_workspace_too(bench: Bench) -> None:
    bench.launched(1)
    (told,) = bench.deployer.check(replace(bench.target, owner="somebody-else"))
    assert "for the owner tests" in told
    elsewhere = house.target_at(workspace=f"{SHORT}-gone")
    (told,) = bench.deployer.check(elsewhere)
    assert "There is no workspace" in told


def _failed(bench: Bench) -> None:
    bench.cloud.endpoints[bench.endpoint].operation = Operation(0.0, {"code": "Refused", "message": "no"})


def test_a_failed_endpoint_that_a_person_made_is_left_as_it_is(bench: Bench) -> None:
    bench.cloud.by_hand(bench.endpoint, "blue", share=0)
    _failed(bench)
    before = json.dumps(bench.cloud.endpoints[bench.endpoint].body, sort_keys=True)
    with pytest.raises(Conflict, match="made by hand and is Failed"):
        bench.deployer.launch(bench.release(1))
    assert json.dumps(bench.cloud.endpoints[bench.endpoint].body, sort_keys=True) == before


def test_a_failed_endpoint_of_ours_is_made_again_as_it_was(bench: Bench) -> None:
    bench.launched(1)
    there = bench.cloud.endpoints[bench.endpoint].body
    there["properties"]["publicNetworkAccess"] = "Disabled"
    owner = there["tags"]["watcher.owner"]
    _failed(bench)
    bench.deployer.launch(bench.release(2))
    bench.cloud.sleep(300)
    after = bench.cloud.endpoints[bench.endpoint].body
    assert (after["properties"]["publicNetworkAccess"], after["tags"]["watcher.owner"]) == ("Disabled", owner)
