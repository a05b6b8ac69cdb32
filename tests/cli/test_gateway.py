from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway import control
from gateway.errors import GatewayError
from tests.cli.conftest import Desk


class Gateways:
    """Gateways that start and stop at once."""

    def __init__(self) -> None:
        self.running: set[Path] = set()

    def start(self, home: Path) -> None:
        self.running.add(home)

    def stop(self, home: Path) -> bool:
        if home not in self.running:
            return False
        self.running.remove(home)
        return True

    def status(self, home: Path) -> dict[str, Any] | None:
        if home not in self.running:
            return None
        release = {"state": "ready"}
        endpoint = {"host": "127.0.0.1", "port": 5001, "model": "churn\x1b[0m", "weights": {"churn-v1": 100}}
        return {"endpoints": {"port-5001": endpoint | {"releases": {"churn-v1": release}}}}


@pytest.fixture
def gateways(monkeypatch: pytest.MonkeyPatch) -> Gateways:
    made = Gateways()
    for verb in ("start", "stop", "status"):
        monkeypatch.setattr(control, verb, getattr(made, verb))
    return made


def test_the_home_comes_from_the_settings(desk: Desk, gateways: Gateways) -> None:
    assert desk("gateway", "start").code == 0
    assert gateways.running == {desk.path.parent / "state" / "gateway"}


def test_a_home_may_be_named(desk: Desk, gateways: Gateways, tmp_path: Path) -> None:
    assert desk("gateway", "start", "--home", str(tmp_path / "other")).code == 0
    assert gateways.running == {tmp_path / "other"}


@pytest.mark.usefixtures("gateways")
def test_start_and_stop_say_whether_anything_changed(desk: Desk) -> None:
    assert desk("gateway", "start", "--json").json[0]["changed"] is True
    assert desk("gateway", "start", "--json").json[0]["changed"] is False
    assert desk("gateway", "stop", "--json").json[0]["changed"] is True
    assert desk("gateway", "stop", "--json").json[0]["changed"] is False


@pytest.mark.usefixtures("gateways")
def test_status_is_no_where_none_runs(desk: Desk) -> None:
    assert desk("gateway", "status").code == 1
    desk("gateway", "start")
    ran = desk("gateway", "status")
    assert ran.code == 0
    assert "churn-v1" in ran.out
    assert "\x1b" not in ran.out


@pytest.mark.usefixtures("gateways")
def test_a_gateway_that_does_not_start_is_out_of_reach(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> None:
        raise GatewayError("The gateway does not start: no memory")

    monkeypatch.setattr(control, "start", broken)
    ran = desk("gateway", "start")
    assert (ran.code, ran.err) == (3, "The gateway does not start: no memory\n")


@pytest.mark.usefixtures("gateways")
def test_settings_without_a_gateway_ask_for_its_home(desk: Desk) -> None:
    text = desk.path.read_text().replace("kind: local-endpoint, port: 5001", 'kind: stream, pointer: "p.json"')
    desk.path.write_text(text)
    ran = desk("gateway", "start")
    assert ran.code == 2
    assert "--home" in ran.err
