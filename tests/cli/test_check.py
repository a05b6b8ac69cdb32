from __future__ import annotations

import pytest

from tests.cli.conftest import Desk
from watcher.errors import Terminal, Transient


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


def test_a_model_that_is_not_registered_yet_is_no_failure(desk: Desk) -> None:
    ran = desk("check")
    assert ran.code == 0
    assert "the registry has no such model yet" in ran.out
