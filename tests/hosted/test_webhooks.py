"""Webhooks: what is genuine wakes a model that is watched; nothing else does anything."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hosted.world import START, Hosted
from watcher.hosted.webhooks import databricks, event_grid, mlflow
from watcher.hosted.webhooks.answers import Answer
from watcher.hosted.webhooks.seen import Seen

SECRET = "s3cret"  # noqa: S105 of these tests
CREATED = {"entity": "model_version", "action": "created", "timestamp": "x", "data": {"name": "churn", "version": "3"}}


@pytest.fixture
def hosted(tmp_path: Path) -> Hosted:
    return Hosted(tmp_path, {mlflow.SECRET: SECRET, databricks.SECRET: SECRET})


def signed(body: bytes, secret: str = SECRET, at: float = START, delivery: str = "d-1") -> dict[str, str]:
    """Headers as MLflow's own code makes them."""
    from mlflow.webhooks.delivery import _generate_hmac_signature

    stamp = str(int(at))
    return {
        "X-MLflow-Signature": _generate_hmac_signature(secret, delivery, stamp, body.decode()),
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": stamp,
    }


def databricks_signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Databricks-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def event(**data: Any) -> bytes:
    return json.dumps({**CREATED, "data": {"name": "churn", **data}}).encode()


def test_what_mlflow_signs_wakes_the_model(hosted: Hosted) -> None:
    body = event(version="3")
    assert hosted.hooks.mlflow(signed(body), body) == Answer(202, "", ("churn",))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"X-MLflow-Signature": ""}, 401),
        ({"X-MLflow-Signature": "v1,AAAA"}, 401),
        ({"X-MLflow-Signature": "v2,AAAA"}, 401),
        ({"X-MLflow-Signature": "é"}, 401),
        ({"X-MLflow-Delivery-Id": "d-2"}, 401),
        ({"X-MLflow-Delivery-Id": ""}, 401),
        ({"X-MLflow-Timestamp": str(int(START) + 1)}, 401),
        ({"X-MLflow-Timestamp": ""}, 401),
    ],
)
def test_a_header_that_does_not_fit_the_signature_is_refused(
    hosted: Hosted, change: dict[str, str], status: int
) -> None:
    body = event()
    answer = hosted.hooks.mlflow(signed(body) | change, body)
    assert (answer.status, answer.models) == (status, ())


def test_a_changed_body_is_refused(hosted: Hosted) -> None:
    answer = hosted.hooks.mlflow(signed(event()), event(name="fraud.cards"))
    assert (answer.status, answer.models) == (401, ())


@pytest.mark.parametrize("away", [-301.0, 301.0, -1e9, 1e15])
def test_an_old_or_future_delivery_is_refused(hosted: Hosted, away: float) -> None:
    body = event()
    answer = hosted.hooks.mlflow(signed(body, at=START + away), body)
    assert (answer.status, answer.models) == (401, ())


def test_a_replay_is_refused(hosted: Hosted) -> None:
    body = event()
    assert hosted.hooks.mlflow(signed(body), body).models == ("churn",)
    assert hosted.hooks.mlflow(signed(body), body) == Answer(409, "delivered before")


def test_a_new_secret_is_valid_beside_the_old_one(hosted: Hosted) -> None:
    hosted.environ[mlflow.SECRET] = "new s3cret"
    for number, secret in enumerate(("new", SECRET)):
        body = event()
        assert hosted.hooks.mlflow(signed(body, secret, delivery=str(number)), body).models == ("churn",)


@pytest.mark.parametrize("secrets", ["", "  "])
def test_without_a_secret_the_webhook_is_not_there(hosted: Hosted, secrets: str) -> None:
    hosted.environ[mlflow.SECRET] = hosted.environ[databricks.SECRET] = secrets
    body = event()
    assert hosted.hooks.mlflow(signed(body, ""), body).status == 404
    assert hosted.hooks.databricks(databricks_signed(body, ""), body).status == 404


@pytest.mark.parametrize("name", ["weather", "#pause", "c" * 5_000, "\ud800", "churn\x00"])
def test_a_model_that_is_not_watched_is_not_woken(hosted: Hosted, name: str) -> None:
    body = event(name=name)
    answer = hosted.hooks.mlflow(signed(body), body)
    assert (answer.status, answer.models) == (202, ())


def test_events_about_prompts_wake_nothing(hosted: Hosted) -> None:
    body = json.dumps({**CREATED, "entity": "prompt_version"}).encode()
    assert hosted.hooks.mlflow(signed(body), body) == Answer(202)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"entity": "model_version"}', b"[" * 100_000, b'{"entity": 1, "data": {}}',
     b'{"entity": "model_version", "data": {"name": 3}}', b'{"entity": "model_version", "data": {"name": ""}}'],
)  # fmt: skip
def test_what_is_signed_and_no_event_is_malformed(hosted: Hosted, body: bytes) -> None:
    answer = hosted.hooks.mlflow(signed(body), body)
    assert (answer.status, answer.models) == (400, ())


def test_an_oversized_body_is_refused_before_it_is_looked_at(hosted: Hosted) -> None:
    body = b" " * 1_048_577
    assert hosted.hooks.mlflow(signed(body), body).status == 413
    assert hosted.hooks.databricks(databricks_signed(body), body).status == 413
    assert hosted.hooks.event_grid("POST", {}, body).status == 413


def test_what_databricks_signs_wakes_the_model_and_a_replay_does_not(hosted: Hosted) -> None:
    body = json.dumps({"event": "MODEL_VERSION_CREATED", "model_name": "churn", "version": "3"}).encode()
    assert hosted.hooks.databricks(databricks_signed(body), body).models == ("churn",)
    assert hosted.hooks.databricks(databricks_signed(body), body).models == ()
    hosted.now += 86_400.0
    assert hosted.hooks.databricks(databricks_signed(body), body).models == ("churn",), "an old replay is a wake-up"


def test_databricks_wakes_a_model_once_in_a_while_however_many_events_there_are(hosted: Hosted) -> None:
    woken = 0
    for number in range(100):
        body = json.dumps({"event": "TRANSITION", "model_name": "churn", "version": str(number)}).encode()
        woken += len(hosted.hooks.databricks(databricks_signed(body), body).models)
        hosted.now += 0.5
    assert woken == 5


def test_a_body_that_databricks_did_not_sign_is_refused(hosted: Hosted) -> None:
    body = b'{"model_name": "churn"}'
    for headers in ({}, databricks_signed(b"other"), databricks_signed(body, "guess"), {"X-Databricks-Signature": "é"}):
        answer = hosted.hooks.databricks(headers, body)
        assert (answer.status, answer.models) == (401, ())


def test_event_grid_shakes_hands_in_both_schemas(hosted: Hosted) -> None:
    validation = [{"eventType": event_grid.VALIDATION, "data": {"validationCode": "0-1-2"}}]
    answer = hosted.hooks.event_grid("POST", {}, json.dumps(validation).encode())
    assert (answer.status, answer.json) == (200, {"validationResponse": "0-1-2"})
    asked = hosted.hooks.event_grid("OPTIONS", {"WebHook-Request-Origin": "eventgrid.azure.net"}, b"")
    assert (asked.status, asked.headers["WebHook-Allowed-Origin"]) == (200, "eventgrid.azure.net")
    assert hosted.hooks.event_grid("OPTIONS", {"WebHook-Request-Origin": "evil.example"}, b"").status == 400


@pytest.mark.parametrize(
    "sent",
    [
        [{"eventType": event_grid.REGISTERED, "subject": "models/churn:20", "data": {"modelName": "churn"}}],
        [{"eventType": event_grid.REGISTERED, "subject": "models/churn:20", "data": {}}],
        {"type": event_grid.REGISTERED, "subject": "models/churn:20", "data": {"ModelName": "churn"}},
        [{"type": "other"}, {"type": event_grid.REGISTERED, "subject": "models/churn:20"}],
    ],
)
def test_a_registered_model_wakes_in_both_schemas(hosted: Hosted, sent: object) -> None:
    assert hosted.hooks.event_grid("POST", {}, json.dumps(sent).encode()) == Answer(202, "", ("churn",))


def test_other_events_are_taken_and_wake_nothing(hosted: Hosted) -> None:
    sent = {"type": "Microsoft.MachineLearningServices.RunCompleted", "subject": "models/churn:20"}
    assert hosted.hooks.event_grid("POST", {}, json.dumps(sent).encode()) == Answer(202)


def test_what_was_taken_is_remembered_within_bounds() -> None:
    seen = Seen(10.0)
    taken = sum(seen.take(str(number).encode(), 0.0) for number in range(30_000))
    assert taken == 30_000
    assert not seen.take(b"29999", 9.0)
    assert seen.take(b"29999", 11.0)


NAMES = st.sampled_from(["churn", "fraud.cards"]) | st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10) | st.sampled_from(
        ["entity", "data", "name", "model_name", "eventType", "type", "subject", "modelName", "validationCode"]
    ), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip
BODIES = st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(
    st.sampled_from(["X-MLflow-Signature", "X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-Databricks-Signature"]),
    st.text(max_size=60) | st.just(str(int(START))) | st.just("v1,"),
)


@given(HEADERS, BODIES)
def test_no_forged_delivery_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, headers: dict[str, str], body: bytes
) -> None:
    hooks = shared(tmp_path_factory).hooks
    for answer in (hooks.mlflow(headers, body), hooks.databricks(headers, body)):
        assert answer.status in (400, 401)
        assert answer.models == ()


@given(BODIES)
def test_whatever_the_owner_of_the_secret_sends_is_answered(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    hosted = shared(tmp_path_factory)
    try:
        headers = signed(body)
    except UnicodeDecodeError:
        headers = {}
    for answer in (
        hosted.hooks.mlflow(headers, body),
        hosted.hooks.databricks(databricks_signed(body), body),
        hosted.hooks.event_grid("POST", {}, body),
    ):
        assert answer.status in (200, 202, 400, 401, 409)
        assert all(hosted.host.app.watches(name) for name in answer.models)


_SHARED: list[Hosted] = []


def shared(factory: pytest.TempPathFactory) -> Hosted:
    if not _SHARED:
        _SHARED.append(Hosted(factory.mktemp("hosted"), {mlflow.SECRET: SECRET, databricks.SECRET: SECRET}))
    return _SHARED[0]


@pytest.mark.parametrize("secret", ["@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s)", " "])
def test_a_secret_that_could_not_be_read_from_its_vault_opens_no_webhook(tmp_path: Path, secret: str) -> None:
    hosted = Hosted(tmp_path, {mlflow.SECRET: secret, databricks.SECRET: secret})
    body = event(version="3")
    assert hosted.hooks.mlflow(signed(body, secret), body).status == 404
    assert hosted.hooks.databricks(databricks_signed(body, secret), body).status == 404
