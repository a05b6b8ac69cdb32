"""A right file becomes frozen settings, and these become what is watched."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.config.conftest import GOOD, Desk
from watcher.config import SHAPES, load, place, shared_places, watched
from watcher.config.errors import ConfigError
from watcher.errors import UserError
from watcher.policy import Approval, Better, EvidenceRules, Guard, Policy, Primary, SameData
from watcher.settings import Limits, Poll
from watcher.values import Analysis, Kind, Mode, Rollout

ROOT = Path(__file__).parents[2]
ENVIRON = {"MLFLOW_REGISTRY_URI": "http://registry", "MLFLOW_TRACKING_URI": "http://tracking", "AML_WORKSPACE": "w"}
MATCH = """
  - match: prod.*
    policy: binary
    targets: [{name: api, kind: databricks-serving, endpoint: "{model_slug}", environment_variables: {DEEP: "{model}"}}]
"""


def test_the_example_says_what_the_settings_then_say() -> None:
    settings = load(ROOT / "watch.example.yaml", ENVIRON)
    assert (settings.owner, settings.ledger, settings.folder) == ("prod-eu", "sqlite:///state/ledger.db", ROOT)
    assert (settings.registry.uri, settings.registry.tracking_uri) == ("http://registry", "http://tracking")
    assert settings.registry.marks == "auto"
    assert (settings.poll, settings.limits) == (Poll(60, 60, 60, 3600), Limits(3))
    assert settings.policies == {
        "binary": Policy(
            Primary("auc", Better.HIGHER, 0.002),
            "binary",
            {"auc": 0.75},
            {"log_loss": 0.6},
            (Guard("auc_north", 0.01),),
            EvidenceRules(SameData.WHEN_KNOWN, 86_400),
            min_age=1800,
            approval=Approval("approved_by", 259_200),
        )
    }
    assert settings.rollouts["careful"] == Rollout(
        "careful", (10, 50, 100), 900, Analysis(200, 0.005, 1.5, "wait"), None, 86_400, 7200
    )
    assert [rule.name or rule.match for rule in settings.models] == ["prod.risk.churn", "prod.fraud.*"]


def test_what_is_left_out_has_its_default(desk: Desk) -> None:
    settings = desk.load(GOOD.replace("    rollout: careful\n", ""))
    assert settings.registry.tracking_uri == settings.registry.uri
    assert (settings.poll, settings.limits) == (Poll(), Limits())
    assert settings.policies["binary"] == Policy(Primary("auc"), "binary")
    entry = watched(settings, "churn")
    assert entry is not None
    assert (entry.mode, entry.rollout) == (Mode.DEPLOY, Rollout())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("2s", 2), ("15m", 900), ("24h", 86_400), ("1d", 86_400), ("1.5h", 5400), ("0s", 0)],
)
def test_a_duration_is_read_in_seconds(desk: Desk, text: str, seconds: float) -> None:
    settings = desk.load(desk.changed("canary: [10, 100]", f"keep_warm: {text}"))
    assert settings.rollouts["careful"].keep_warm == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "size"), [("512m", 2**29), ("1g", 2**30), ("1.5k", 1536)])
def test_a_size_is_read_in_bytes(desk: Desk, text: str, size: int) -> None:
    entry = watched(desk.load(desk.changed("port: 5001", f"port: 5001, memory: {text}")), "churn")
    assert entry is not None
    assert entry.targets[0].settings["memory"] == size


@pytest.mark.parametrize(
    ("text", "gain", "relative"),
    [("0.002", 0.002, False), ('"1%"', 0.01, True), ("2.5%", 0.025, True), ("1", 1.0, False)],
)
def test_a_gain_is_absolute_or_a_share(desk: Desk, text: str, gain: float, relative: bool) -> None:
    given = f"{{metric: auc, min_gain: {text}}}\n    guards: [{{metric: f1, max_drop: {text}, better: lower}}]"
    policy = desk.load(desk.changed("{metric: auc}", given)).policies["binary"]
    assert policy.primary.min_gain == pytest.approx(gain)
    assert policy.primary.relative is relative
    assert policy.guards == (Guard("f1", policy.primary.min_gain, Better.LOWER, relative),)


def test_paths_begin_at_the_files_folder(desk: Desk) -> None:
    text = GOOD.replace("http://127.0.0.1:5000", "sqlite:///mlflow.db").replace(
        "canary: [10, 100]", "probe: {file: rows.json}"
    )
    settings = desk.load(text + "      - {name: live, kind: stream, pointer: p/churn.json, input: 'abfss://in'}\n")
    folder = desk.path.parent
    assert settings.registry.uri == f"sqlite:///{folder}/mlflow.db"
    assert settings.rollouts["careful"].probe_file == str(folder / "rows.json")
    entry = watched(settings, "churn")
    assert entry is not None
    assert entry.targets[0].settings["gateway"] == str(folder / "state" / "gateway")
    assert entry.targets[1].settings == {"pointer": str(folder / "p" / "churn.json"), "input": "abfss://in"}


@pytest.mark.parametrize(
    "uri", ["databricks-uc", "databricks://profile", "sqlite:////var/x.db", "http://h", "sqlite:///:memory:"]
)
def test_other_addresses_stay_as_they_are(desk: Desk, uri: str) -> None:
    assert desk.load(desk.changed("http://127.0.0.1:5000", uri)).registry.uri == uri


def test_a_local_endpoint_is_whole_with_its_place(desk: Desk) -> None:
    entry = watched(desk.load(GOOD), "churn")
    assert entry is not None
    (target,) = entry.targets
    assert (target.name, target.kind, target.shape) == ("api", "local-endpoint", Kind.ENDPOINT)
    assert (target.model, target.owner, target.place) == ("churn", "me", "local-endpoint:127.0.0.1:5001")
    assert target.settings == {
        "port": 5001,
        "host": "127.0.0.1",
        "gateway": str(desk.path.parent / "state/gateway"),
        "memory": None,
        "env": "auto",
        "autostart": True,
    }


def test_a_model_of_which_nothing_is_said_is_not_watched(desk: Desk) -> None:
    assert watched(desk.load(GOOD), "other") is None


def test_a_name_beats_a_match(desk: Desk) -> None:
    settings = desk.load(GOOD.replace("churn", "prod.churn") + MATCH)
    entry = watched(settings, "prod.churn")
    assert entry is not None
    assert entry.targets[0].kind == "local-endpoint"
    other = watched(settings, "prod.fraud.cards")
    assert other is not None
    assert other.targets[0].kind == "databricks-serving"


def test_two_patterns_that_match_are_an_error_that_names_both(desk: Desk) -> None:
    settings = desk.load(GOOD + MATCH + MATCH.replace("prod.*", "'*.fraud'").replace("{model_slug}", "x-{model_slug}"))
    assert watched(settings, "prod.churn") is not None
    with pytest.raises(ConfigError, match=r"'prod\.fraud' matches 'prod\.\*' and '\*\.fraud'; give it an entry"):
        watched(settings, "prod.fraud")


def test_the_models_name_is_put_in_wherever_it_is_asked_for(desk: Desk) -> None:
    entry = watched(desk.load(GOOD + MATCH), "prod.Fraud_Cards")
    assert entry is not None
    assert entry.targets[0].settings == {
        "endpoint": "prod-fraud-cards",
        "environment_variables": {"DEEP": "prod.Fraud_Cards"},
    }
    assert entry.targets[0].place == "databricks-serving:prod-fraud-cards"


def test_a_model_that_is_called_like_a_placeholder_is_put_in_once(desk: Desk) -> None:
    settings = desk.load(
        GOOD + MATCH.replace("prod.*", "'*'").replace(', environment_variables: {DEEP: "{model}"}', "")
    )
    entry = watched(settings, "{model}")
    assert entry is not None
    assert entry.targets[0].settings == {"endpoint": "model"}


@pytest.mark.parametrize(
    "name", ["prod.a/b", "prod.a\\b", "prod.\x00", "prod.a\nb", "prod.'; --", "prod.a..", "prod.$(id)"]
)
def test_a_hostile_name_is_not_put_into_a_target_as_it_is(desk: Desk, name: str) -> None:
    settings = desk.load(GOOD + MATCH)
    with pytest.raises(ConfigError, match=r"cannot stand for \{model\} in the target api") as caught:
        watched(settings, name)
    assert str(caught.value).isprintable()
    entry = watched(desk.load(GOOD + MATCH.replace('"{model}"', "x")), name)
    assert entry is not None
    assert all(character.isalnum() or character == "-" for character in entry.targets[0].settings["endpoint"])


def test_long_names_that_begin_alike_get_two_slugs(desk: Desk) -> None:
    settings = desk.load(GOOD + MATCH)
    names = [f"prod.a-model-with-a-very-long-name-number-{number}" for number in (1, 2)]
    assert shared_places(settings, names) == ()
    for name in names:
        entry = watched(settings, name)
        assert entry is not None
        assert len(entry.targets[0].settings["endpoint"]) <= 32


def test_models_whose_slugs_are_the_same_share_a_place_and_that_is_told(desk: Desk) -> None:
    (found,) = shared_places(desk.load(GOOD + MATCH), ["prod.a.b", "churn", "prod.a-b", "unknown"])
    assert found.startswith("prod.a-b/api and prod.a.b/api are one place, databricks-serving:prod-a-b;")


def test_third_parties_bring_their_kinds_and_places(desk: Desk) -> None:
    text = desk.changed("kind: local-endpoint, port: 5001", "kind: edge, device: d1")
    desk.path.write_text(text)
    shapes = {**SHAPES, "edge": Kind.STREAM}
    settings = load(desk.path, {}, shapes, lambda kind, own: f"{kind}@{own['device']}")
    entry = watched(settings, "churn", shapes, lambda kind, own: f"{kind}@{own['device']}")
    assert entry is not None
    assert (entry.targets[0].shape, entry.targets[0].place) == (Kind.STREAM, "edge@d1")
    with pytest.raises(ConfigError, match="'edge' is not a kind of target"):
        watched(settings, "churn")


def test_shapes_and_places_may_be_functions_whose_refusal_is_a_mistake(desk: Desk) -> None:
    def shape(kind: str) -> Kind:
        if kind != "edge":
            raise UserError(f"there is no target kind {kind!r}")
        return Kind.STREAM

    def where(kind: str, own: Mapping[str, Any]) -> str:
        if "device" not in own:
            raise UserError("device is missing: name the device")
        return f"{kind}@{own['device']}"

    for written, mistake in {
        "kind: edge, device: d1": None,
        "kind: edge": "targets[0]: device is missing: name the device",
        "kind: egde": "targets[0].kind: 'egde' is not a kind of target",
    }.items():
        desk.path.write_text(desk.changed("kind: local-endpoint, port: 5001", written))
        if mistake is None:
            entry = watched(load(desk.path, {}, shape, where), "churn", shape, where)
            assert entry is not None
            assert (entry.targets[0].shape, entry.targets[0].place) == (Kind.STREAM, "edge@d1")
        else:
            with pytest.raises(ConfigError, match=re.escape(mistake)):
                load(desk.path, {}, shape, where)


def test_the_place_of_an_unknown_kind_is_all_its_settings_and_shows_none() -> None:
    first = place("edge", {"device": "d1", "connection": "hunter2"})
    assert first != place("edge", {"device": "d2", "connection": "hunter2"})
    assert "hunter2" not in first


def test_who_needs_only_settings_loads_no_pydantic() -> None:
    code = (
        "import sys, watcher.config, watcher.settings; "
        "print([m for m in ('pydantic', 'ruamel', 'mlflow', 'jsonschema') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"
