"""Secrets that a user may have to hand in are nowhere to be read: not in answers, logs, pages, history or files."""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.cli.conftest import SETTINGS as SERVED
from tests.cli.conftest import Desk
from tests.page.asking import ask
from tests.registry.mlflow_world import sqlite_registry
from watcher.cli.main import main
from watcher.errors import Terminal, Transient, WatcherError
from watcher.hosted import wakes
from watcher.hosted.hooks import Hooks
from watcher.hosted.host import Host
from watcher.loop import log
from watcher.retry import Retry
from watcher.values import Artifacts

if TYPE_CHECKING:
    from starlette.types import ASGIApp

MARK = "PLANTED"
"""Every secret here has it, so that none is missed for being written in another way."""
SECRETS = {
    "MLFLOW_TRACKING_TOKEN": f"{MARK}-token-of-mlflow",
    "DATABRICKS_TOKEN": f"dapi{MARK}0123456789",
    "AWS_SECRET_ACCESS_KEY": f"{MARK}/aws+key",
    "AZURE_CLIENT_SECRET": f"{MARK}~client.secret",
    "AzureWebJobsStorage": (
        f"DefaultEndpointsProtocol=http;AccountName=w;AccountKey={base64.b64encode(MARK.encode() * 3).decode()};"
        "TableEndpoint=http://127.0.0.1:9/w;QueueEndpoint=http://127.0.0.1:9/w"
    ),
    "WATCHER_MLFLOW_WEBHOOK_SECRET": f"{MARK}-hook",
    "WATCHER_DATABRICKS_WEBHOOK_SECRET": f"{MARK}-other-hook",
    "NOTIFY": f"https://hooks.example.com/services/T0/B0?token={MARK}notify",
    "SAS": f"sv=2024-11-04&se=2027-01-01&sp=rw&sig={MARK}%2Fsas",
}
BASIC = base64.b64encode(f"watcher:{MARK}-password".encode()).decode()
WRITTEN = (
    MARK,
    quote(MARK),
    base64.b64encode(MARK.encode() * 3).decode(),
    BASIC,
    MARK[::-1],
)
"""The forms in which a secret could come out."""
SETTINGS = """\
version: 1
owner: me
registry: {uri: "${MLFLOW_REGISTRY_URI}", tracking_uri: "${MLFLOW_TRACKING_URI}"}
ledger: ${LEDGER}
policies:
  auc: {primary: {metric: auc}, floors: {auc: 0.5}, signature: false}
models:
  - {name: churn, policy: auc, targets: [{name: api, kind: local-endpoint, port: 5001, autostart: false}]}
  - {match: "fraud*", policy: auc, mode: advise}
"""
COMMANDS = (
    ("check",), ("plan", "churn"), ("plan",), ("tick",), ("status",), ("status", "churn"), ("history", "churn"),
    ("explain", "churn", "1"), ("hold", "churn", "--reason", "x"), ("promote", "churn", "1"), ("run", "--for", "0.2"),
)  # fmt: skip


class _Telltale(BaseHTTPRequestHandler):
    """Answers with all that it was sent, as a proxy in debug mode does."""

    status = 500
    code = "INTERNAL_ERROR"
    whole = True

    def answer(self) -> None:
        sent = dict(self.headers)
        scheme, _, value = sent.get("Authorization", "").partition(" ")
        read = base64.b64decode(value + "==").decode("utf-8", "replace") if scheme == "Basic" else value
        # The beginning of a message is what is told of it.
        said = f"{read} {read.partition(':')[2]} {sent.get('Authorization')} {self.path} {sent}"
        body = json.dumps({"error_code": self.code, "message": said}) if self.whole else f"<html>{said}"
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("WWW-Authenticate", f'Basic realm="{read}"')
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def telltale() -> Iterator[tuple[type[_Telltale], str]]:
    kind = type("Telltale", (_Telltale,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield kind, f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


class Ears:
    """Hears all that is told while it listens, at every level."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str], logged: pytest.LogCaptureFixture) -> None:
        self.folder = folder
        self._capture = capture
        self._logged = logged
        self._shown = ""

    def run(self, *arguments: str) -> str:
        """What a command shows; that it shows anything at all proves that it ran."""
        self._capture.readouterr()
        main(["--config", str(self.folder / "watch.yaml"), *arguments])
        told = self._capture.readouterr()
        self._shown += told.out + told.err
        return told.out + told.err

    def add(self, text: str) -> None:
        self._shown += text

    def heard(self) -> str:
        """Everything: outputs, logs and files."""
        told = self._capture.readouterr()
        files = [path.read_bytes().decode("latin-1") for path in self.folder.rglob("*") if path.is_file()]
        return "\n".join([self._shown, told.out, told.err, self._logged.text, *files])


def secrets_in(text: str) -> list[str]:
    """The lines with a secret in any form."""
    return [line[:2_000] for line in text.splitlines() if any(form in line for form in WRITTEN)]


@pytest.fixture(params=[pytest.param(None, marks=pytest.mark.long), "DEBUG"], ids=["quiet", "debug"])
def ears(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Ears]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LEDGER", "sqlite:///state/ledger.db")
    if request.param is not None:
        monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", request.param)
    else:
        monkeypatch.delenv("MLFLOW_LOGGING_LEVEL", raising=False)
    monkeypatch.setattr("watcher.registry.mlflow.Retry", lambda: Retry(attempts=1))
    (tmp_path / "watch.yaml").write_text(SETTINGS)
    loggers = [logging.getLogger(name) for name in ("", "mlflow", "urllib3", "sqlalchemy", "azure", "watcher")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        if logger.name != "root":
            logger.addHandler(caplog.handler)
    yield Ears(tmp_path, capsys, caplog)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
        logger.removeHandler(caplog.handler)


def _registry(patch: pytest.MonkeyPatch, uri: str, tracking: str | None = None) -> None:
    patch.setenv("MLFLOW_REGISTRY_URI", uri)
    patch.setenv("MLFLOW_TRACKING_URI", tracking or uri)


def _everything(ears: Ears) -> None:
    """Every command, as text and as JSON; then what a host of functions does."""
    for command in COMMANDS:
        assert ears.run(*command)
        if command[0] != "run":
            assert ears.run(*command, "--json")
    host = Host(ears.folder, os.environ)
    for ask_host in (wakes.poll, wakes.resync, lambda h: wakes.wake(h, b"churn")):
        try:
            ask_host(host)
        except WatcherError as error:
            ears.add(str(error))
    ears.add(Hooks(host).health().text)
    ears.add(str(Hooks(host).mlflow({"x-mlflow-signature": "v1,x"}, b"{}")))
    ears.add(str(Hooks(host).databricks({}, b"{}")))
    try:
        _pages(ears, host.page(""), "churn")
    except WatcherError as error:
        ears.add(str(error))


def _pages(ears: Ears, page: ASGIApp, model: str) -> None:
    for under in ("/", "/api/"):
        ears.add(ask(page, under if under == "/" else "/api/models").text)
        ears.add(ask(page, f"{under}model", name=model).text)
        ears.add(ask(page, f"{under}version", model=model, version=1).text)
        ears.add(ask(page, f"{under}history", model=model, at="1h").text)


@pytest.mark.parametrize(
    ("status", "code", "whole"),
    [
        (401, "UNAUTHENTICATED", True),
        (403, "PERMISSION_DENIED", True),
        (404, "RESOURCE_DOES_NOT_EXIST", True),
        (400, "INVALID_PARAMETER_VALUE", True),
        (429, "REQUEST_LIMIT_EXCEEDED", True),
        (500, "INTERNAL_ERROR", True),
        (502, "", False),
        (200, "", False),
    ],
)
@pytest.mark.parametrize("who", ["password", "token", "variables"])
def test_a_server_that_says_back_what_it_was_sent(
    telltale: tuple[type[_Telltale], str],
    ears: Ears,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    *,
    whole: bool,
    who: str,
) -> None:
    kind, address = telltale
    kind.status, kind.code, kind.whole = status, code, whole
    if who != "token":
        monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    if who == "variables":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "watcher")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"{MARK}-password")
    user = f"watcher:{MARK}-password@" if who == "password" else ""
    _registry(monkeypatch, f"http://{user}{address}")
    if (status, who) in ((401, "variables"), (500, "password"), (403, "token")):
        _everything(ears)
    else:
        ears.run("check", "--json")
        ears.run("tick")
    assert not secrets_in(ears.heard())


@pytest.mark.parametrize(
    "uri",
    [
        f"http://watcher:{MARK}-password@127.0.0.1:9",
        f"http://{MARK}-password@127.0.0.1:9/?access_token={MARK}",
        f"postgresql+psycopg2://watcher:{MARK}-password@127.0.0.1:9/mlflow?sslpassword={MARK}",
        f"postgresql://watcher:{MARK}-password@127.0.0.1:9/mlflow",
        f"mysql+nothing://watcher:{MARK}-password@127.0.0.1:9/mlflow",
        f"sqlite:///missing.db?password={MARK}",
        f"{MARK}://watcher:{MARK}-password@127.0.0.1",
    ],
    ids=["http", "token in the address", "postgres", "no driver", "no dialect", "no file", "no scheme"],
)
def test_a_registry_that_cannot_be_reached(ears: Ears, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    _registry(monkeypatch, uri.replace(f"{MARK}://", "nonsense://"))
    for command in (("check",), ("check", "--json"), ("tick",), ("plan", "--json"), ("run", "--for", "0.1")):
        assert ears.run(*command)
    assert not secrets_in(ears.heard())


def test_a_ledger_that_cannot_be_reached(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    _registry(monkeypatch, sqlite_registry(ears.folder))
    monkeypatch.setattr("watcher.ledger.table.Retry", lambda **_: Retry(attempts=1), raising=False)
    for ledger in ("table+env://AzureWebJobsStorage/watcher", "table+env://NOTIFY/watcher", f"x://y?sig={MARK}"):
        monkeypatch.setenv("LEDGER", ledger)
        for command in (("check",), ("check", "--json"), ("history", "churn"), ("tick", "churn")):
            assert ears.run(*command)
    assert not secrets_in(ears.heard())


@pytest.mark.parametrize("error", [Transient, Terminal])
def test_a_world_that_works_and_one_whose_targets_fail(desk: Desk, ears: Ears, error: type[WatcherError]) -> None:
    pointer = "https://w.blob.core.windows.net/p/{model_slug}.json?${SAS}"
    desk.path.write_text(SERVED.replace("pointers/{model_slug}.json", pointer))
    desk.environ = {"SAS": SECRETS["SAS"]}
    desk.crowned()
    desk.train(0.9, "fraud.a", artifacts=Artifacts.ABSENT, source=f"https://ann:{MARK}@w/m?{SECRETS['SAS']}")
    desk.train(0.9, "fraud.b")
    said = f"PUT https://w.net/?{SECRETS['SAS']}: Authorization: Bearer {SECRETS['DATABRICKS_TOKEN']}"
    desk.deployer.mute[desk.train(0.9)] = said
    desk.rest()
    desk.deployer.faults.fail("launch", error(said))
    desk.deployer.broken[desk.train(0.95)] = said
    desk.rest()
    for command in (("check",), ("status",), ("status", "fraud.a"), ("status", "churn"), ("history",), ("plan",)):
        ears.add(desk(*command).out + desk(*command, "--json").out + desk(*command).err)
    ears.add(desk("explain", "fraud.a", "1").out + desk("explain", "fraud.a", "1", "--json").out)
    from watcher.page.app import build

    page = build(desk.app(desk.path, None))
    _pages(ears, page, "churn")
    _pages(ears, page, "fraud.a")
    ears.add(str(desk.ledger.history()))
    text = ears.heard()
    # What was said with the secrets is there, without them.
    for shown in ("sig=*** Authorization: Bearer ***", "https://***@w/m?", "/p/fraud-a.json?"):
        assert shown in text, shown
    assert not secrets_in(text)


def test_a_bug_in_the_loop(ears: Ears) -> None:
    from concurrent.futures import Future

    from watcher.loop import _raise

    ended: Future[None] = Future()
    ended.set_exception(KeyError(f"{SECRETS['DATABRICKS_TOKEN']} at postgresql://w:{MARK}@db/x"))
    _raise(ended)
    heard = ears.heard()
    assert log.name in heard
    assert "KeyError" in heard
    assert not secrets_in(heard)
