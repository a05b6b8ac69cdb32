from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import deployers
from tests.cli.conftest import Desk
from watcher import samples
from watcher.cli import session
from watcher.errors import Terminal, Transient
from watcher.fakes.deployer import FakeDeployer
from watcher.ports import Line
from watcher.values import EvidenceOf
from watcher.wiring import App

MOVED = "name: web, kind: local-endpoint, port: 5002"


def lines(desk: Desk) -> dict[str, list[tuple[bool | None, str]]]:
    found: dict[str, list[tuple[bool | None, str]]] = {}
    for line in desk("check", "--json").json["checks"]:
        found.setdefault(line["what"], []).append((line["ok"], line["detail"]))
    return found


def test_check_is_content_with_a_world_that_works(desk: Desk) -> None:
    desk.train()
    ran = desk("check")
    assert ran.code == 0
    assert "FAILS" not in ran.out
    assert {"settings", "registry", "ledger", "churn/api"} <= lines(desk).keys()


def test_check_leaves_the_world_as_it_was(desk: Desk) -> None:
    desk.crowned()
    registry, targets, history = desk.registry.snapshot(), desk.deployer.snapshot(), len(desk.ledger.history())
    desk("check")
    assert (desk.registry.snapshot(), desk.deployer.snapshot()) == (registry, targets)
    assert len(desk.ledger.history()) == history


def test_check_tells_each_mistake_in_the_settings(desk: Desk) -> None:
    desk.path.write_text(desk.path.read_text().replace("policy: binary", "policy: binry"))
    ran = desk("check")
    assert ran.code == 1
    assert "binry" in ran.out


def test_check_tells_that_the_registry_is_out_of_reach_and_goes_on_to_the_ledger(desk: Desk) -> None:
    desk.registry.fail("names", Transient("could not list models: connection refused"))
    found = lines(desk)
    assert found["registry"] == [(False, "could not list models: connection refused")]
    assert found["ledger"][0][0] is True
    desk.registry.fail("names", Transient("away"))
    assert desk("check").code == 1


@pytest.mark.parametrize("verb", ["load", "save"])
def test_check_tells_that_the_ledger_cannot_be_read_or_written(desk: Desk, verb: str) -> None:
    desk.ledger.fail(verb, Terminal("the disk is read-only"), key="#check")
    assert lines(desk)["ledger"] == [(False, "the disk is read-only")]


def test_check_tells_what_each_target_would_fail_on(desk: Desk) -> None:
    desk.crowned()
    place = desk.deployer.places["local-endpoint:127.0.0.1:5001"]
    place.owner = "somebody else"
    ran = desk("check")
    assert ran.code == 1
    assert "it belongs to somebody else" in ran.out


def test_check_names_two_models_that_would_share_a_place(desk: Desk) -> None:
    for model in ("fraud.a-b", "fraud.a.b"):
        desk.train(model=model)
    ((ok, detail),) = lines(desk)["places"]
    assert ok is False
    assert "fraud.a-b/live" in detail
    assert "fraud.a.b/live" in detail


def test_check_names_a_model_that_two_patterns_match(desk: Desk) -> None:
    desk.train(model="fraud.cards")
    rule = desk.path.read_text().split("  - match")[1]
    desk.path.write_text(desk.path.read_text() + "  - match" + rule.replace("fraud.*", "fraud.c*"))
    ((ok, detail),) = lines(desk)["fraud.cards"]
    assert ok is False
    assert "'fraud.*' and 'fraud.c*'" in detail


def test_check_does_not_know_whether_a_server_lets_it_write(desk: Desk) -> None:
    desk.train()
    ((ok, _),) = lines(desk)["registry, writing"]
    assert ok is None


def test_a_target_that_was_taken_out_is_told_until_a_person_forgets_it_and_goes_on_serving(desk: Desk) -> None:
    version = desk.crowned()
    desk.path.write_text(desk.path.read_text().replace("name: api, kind: local-endpoint, port: 5001", MOVED))
    desk.rest("churn")
    ((ok, detail),) = lines(desk)["churn/api"]
    assert ok is None
    assert f"served v{version} 100 %" in detail
    assert "watcher forget churn api" in detail
    assert "watcher forget churn api" in desk("status", "churn").out
    assert desk("status", "churn", "--json").json[0]["left"] == {"api": {str(version): 100}}
    assert "no longer name this target" in desk("history", "churn").out
    assert desk("forget", "churn", "web").code == 1
    assert desk("forget", "churn", "api").code == 0
    assert "churn/api" not in lines(desk)
    assert desk("forget", "churn", "api").code == 2
    assert desk.serving() == {version: 100}


@pytest.mark.parametrize("lease", [200.0, 300.0])
def test_check_refuses_a_target_that_is_too_slow_for_the_wake_ups_of_its_host(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, lease: float
) -> None:
    desk.train()
    desk.deployer.lease = lease
    assert lines(desk)["churn/api"][0][0] is True

    def hosted(config: Path, tell: Callable[[Line], None] | None) -> App:
        made = desk.app(config, tell)
        return replace(made, loop=replace(made.loop, deadline=200.0))

    monkeypatch.setattr(session, "make_app", hosted)
    ((ok, detail),) = lines(desk)["churn/api"]
    assert ok is False
    assert f"may take {lease:g} s" in detail
    assert "200 s" in detail


def test_check_refuses_a_rollout_that_mirrors_where_a_target_cannot(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.path.write_text(desk.path.read_text().replace("{canary:", "{mirror: 20, canary:"))
    assert lines(desk)["churn/api"][0][0] is True
    monkeypatch.delattr(FakeDeployer, "mirror")
    ((ok, detail),) = lines(desk)["churn/api"]
    assert ok is False
    assert detail == (
        "The kind local-endpoint cannot mirror requests, and the rollout fast does: give this model a rollout without"
        " `mirror`."
    )


def test_a_model_that_is_not_registered_yet_is_no_failure(desk: Desk) -> None:
    ran = desk("check")
    assert ran.code == 0
    assert "the registry has no such model yet" in ran.out


PROBED = "analysis: {no_traffic: probe, min_requests: 10}, probe: {file: %s}"
BROKEN = {
    "rows.json": ["", "not json", "[]", "{}", '{"rows": [[1]]}', '{"inputs": [1], "instances": [1]}'],
    "rows.csv": ["", "x,y\n"],
}


def probed(desk: Desk, file: str) -> None:
    """The real reader of samples, beside settings that name this one."""
    desk.path.write_text(
        desk.path.read_text().replace("analysis: {no_traffic: probe, min_requests: 10}", PROBED % file)
    )
    desk.sample = samples.reader(desk.path.parent)
    desk.train()


def test_check_finds_that_the_file_to_probe_with_is_not_there(desk: Desk) -> None:
    probed(desk, "rows.json")
    ((ok, detail),) = lines(desk)["probe"]
    assert (ok, detail) == (
        False,
        f"probe sample {desk.path.parent}/rows.json cannot be read: No such file or directory",
    )
    assert desk("check").code == 1


@pytest.mark.parametrize(("file", "text"), [(file, text) for file, texts in BROKEN.items() for text in texts])
def test_check_finds_that_the_file_to_probe_with_is_no_request_to_a_model(desk: Desk, file: str, text: str) -> None:
    probed(desk, file)
    (desk.path.parent / file).write_text(text)
    assert [ok for ok, _ in lines(desk)["probe"]] == [False]


@pytest.mark.parametrize(
    ("file", "text"),
    [("rows.csv", "x,y\n1,2\n"), ("rows.json", '{"dataframe_split": {"columns": ["x"], "data": [[1]]}}')],
)
def test_check_is_content_with_rows_in_the_scoring_format(desk: Desk, file: str, text: str) -> None:
    probed(desk, file)
    (desk.path.parent / file).write_text(text)
    assert [ok for ok, _ in lines(desk)["probe"]] == [True]


def test_no_version_is_rolled_back_for_a_file_that_is_no_request(desk: Desk) -> None:
    probed(desk, "rows.json")
    (desk.path.parent / "rows.json").write_text("not json")
    ran = desk("tick", "--until-rest")
    assert "The version has no input example and the rollout names no usable file" in ran.out
    assert desk.registry.read("churn").challenger == 1


def test_what_the_settings_name_is_checked_though_the_registry_cannot_be_read(desk: Desk) -> None:
    desk.crowned()
    desk.deployer.places["local-endpoint:127.0.0.1:5001"].owner = "somebody else"
    for verb in ("names", "read"):
        desk.registry.fail(verb, Transient("away"), times=9)
    found = lines(desk)
    assert found["registry"] == [(False, "away")]
    assert found["models"][0][1].startswith("not known while the registry cannot be read")
    assert found["churn/api"][0][0] is False


def test_check_tells_which_version_would_fail_on_a_target(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.crowned()
    desk.train(mlflow="3.15.0")

    def objections(kind: str) -> Callable[[Mapping[str, Any], EvidenceOf], list[str]]:
        return lambda _settings, known: [f"{kind} refuses MLflow 3.15.0"] if known.mlflow == "3.15.0" else []

    assert desk("check").code == 0
    monkeypatch.setattr(deployers, "objections", objections)
    assert lines(desk)["churn/api"] == [(False, "Version 2 would fail there: local-endpoint refuses MLflow 3.15.0.")]
    desk.registry.fail("version", Transient("away"))
    assert lines(desk)["churn/api"][0][0] is True
