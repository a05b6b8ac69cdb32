"""`watcher check` and `watcher notify`: whether the addresses are any, and whether somebody is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.notify.receiver import Receiver
from watcher.cli import session
from watcher.cli.main import main
from watcher.config import load
from watcher.fakes.deployer import FakeDeployer
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.registry import FakeRegistry
from watcher.gather import Sources
from watcher.outbox import Outbox
from watcher.reconcile import Loop
from watcher.values import Example
from watcher.wiring import App, build

SETTINGS = """\
version: 1
owner: me
registry: {uri: "sqlite:///mlflow.db"}
policies: {auc: {primary: {metric: auc}, signature: false}}
models: [{name: churn, policy: auc, mode: advise}]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "watch.yaml"
    found.write_text(SETTINGS + 'notify: {urls: ["${FIRST}", "${SECOND}"]}\n')
    return found


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the notifications is in memory."""
    registry, ledger = FakeRegistry(lambda: 1_800_000_000.0), FakeLedger()
    registry.create_version("churn", {"auc": 0.9}, example=Example(b"{}"))

    def app(config: Path, _: object) -> App:
        import os

        settings = load(config, os.environ)
        built = build(settings, os.environ)
        sources = Sources(registry, registry, {"x": FakeDeployer(built.clock)}, lambda _: Example(b"{}"))
        outbox = built.loop.outbox
        assert isinstance(outbox, Outbox) == bool(settings.notify.urls)
        if isinstance(outbox, Outbox):
            from dataclasses import replace

            outbox = replace(outbox, ledger=ledger)
        loop = Loop(sources, ledger, settings.limits, built.clock, "w", outbox=outbox)
        return App(settings, registry, ledger, loop, built.clock)

    monkeypatch.setattr(session, "make_app", app)


def ran(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["--config", str(path), *arguments])
    told = capsys.readouterr()
    assert "s3cretpass" not in told.out + told.err
    return code, told.out + told.err


def test_the_test_arrives_and_what_does_not_take_it_is_named(
    path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST", receiver.url)
    monkeypatch.setenv("SECOND", receiver.url)
    assert ran(path, capsys, "notify")[0] == 0
    assert len(receiver.got) == 2
    receiver.status = 500
    code, told = ran(path, capsys, "notify", "--json")
    assert code == 1
    assert json.loads(told.splitlines()[0])[0] == {"address": "notify.urls[0]", "service": "JSON", "taken": False}


def test_an_address_that_is_none_is_a_failed_check_and_a_mistake(
    path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST", receiver.url)
    monkeypatch.setenv("SECOND", "nonsense-s3cretpass")
    code, told = ran(path, capsys, "check", "--json")
    found = {each["what"]: each["ok"] for each in json.loads(told)["checks"]}
    assert (code, found["notify.urls[0]"], found["notify.urls[1]"]) == (1, True, False)
    code, told = ran(path, capsys, "notify")
    assert code == 2
    assert "notify.urls[1] is no address that Apprise knows" in told
    assert receiver.got == []


def test_without_anybody_to_notify_that_is_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(SETTINGS)
    code, told = ran(path, capsys, "notify")
    assert code == 2
    assert "name nobody to notify" in told


def test_a_tick_tells_what_it_wrote_down(
    path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST", receiver.url)
    monkeypatch.setenv("SECOND", receiver.url)
    assert ran(path, capsys, "tick", "--until-rest")[0] == 0
    assert ran(path, capsys, "tick", "--until-rest")[0] == 0
    assert sorted(title for title, _ in receiver.got) == ["churn: a version won"] * 2
    assert receiver.got[0][1].startswith("churn: version 1 wins")
