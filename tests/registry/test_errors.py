"""Whatever goes wrong beneath becomes Transient or Terminal, in one sentence without secrets, within seconds."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder

import pytest

from tests.registry.bad_server import BadServer, bad_server
from watcher.errors import Terminal, Transient, WatcherError
from watcher.registry.client import DEFAULTS, Client
from watcher.registry.errors import place, scrub, secrets_of
from watcher.registry.mlflow import MlflowRegistry
from watcher.retry import Retry
from watcher.values import Call, Identity, Marks, Status, Version


def registry(uri: str, attempts: int = 1) -> MlflowRegistry:
    return MlflowRegistry(Client(uri, uri, os.environ), Retry(attempts=attempts, sleep=lambda _: None))


@pytest.fixture
def server() -> Iterator[BadServer]:
    with bad_server() as script:
        yield script


VERSION = Version(Identity("m", 1, 0, "models:/m-1"), Status.READY, "/nowhere", run_id="0" * 32)
READS: dict[str, Callable[[MlflowRegistry], object]] = {
    "changed": lambda r: r.changed(0),
    "marks": lambda r: r.marks(["m"]),
    "marks of many": lambda r: r.marks([f"m{i}" for i in range(50)]),
    "names": lambda r: r.names(),
    "read": lambda r: r.read("m"),
    "version": lambda r: r.version("m", 1),
    "versions": lambda r: r.versions("m", 0),
    "of": lambda r: r.of(VERSION),
}
WRITES: dict[str, Callable[[MlflowRegistry], object]] = {
    "challenge": lambda r: r.challenge("m", 1, Marks("m")),
    "tag": lambda r: r.tag("m", 1, Call.WINS, None),
    "untag": lambda r: r.tag("m", 1, None, None),
    "set_champion": lambda r: r.set_champion("m", 1),
    "hold": lambda r: r.hold("m", "ann"),
    "rejudge": lambda r: r.rejudge("m", 1),
}
VERBS = READS | WRITES


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (500, json.dumps({"error_code": "INTERNAL_ERROR", "message": "boom"}).encode()),
        (503, json.dumps({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}).encode()),
        (429, json.dumps({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}).encode()),
        (502, b"<html>bad gateway</html>"),
        (504, b""),
        (404, b"{}"),
        (200, b"<html>log in</html>"),
    ],
)
def test_a_server_in_trouble_is_transient_and_absence_is_never_concluded(
    server: BadServer, verb: str, status: int, body: bytes
) -> None:
    server.status, server.body = status, body
    with pytest.raises(Transient):
        VERBS[verb](registry(server.address))


@pytest.mark.parametrize("verb", ["read", "marks", "version", "of"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"registered_model": {}}', b'{"model_version": {"version": "x"}, "run": {}, "model": {}}'],
)
def test_an_answer_about_nothing_is_not_a_thing_without_marks(server: BadServer, verb: str, body: bytes) -> None:
    server.body = body
    with pytest.raises(Transient):
        READS[verb](registry(server.address))


@pytest.mark.parametrize("verb", ["changed", "marks of many", "names", "versions"])
@pytest.mark.parametrize("body", [b"[]", b'{"registered_models": [{}]}', b'{"model_versions": [{}]}', b'{"registered_'])
def test_a_listing_that_cannot_be_read_is_never_a_model_without_a_name(
    server: BadServer, verb: str, body: bytes
) -> None:
    server.body = body
    try:
        answer = READS[verb](registry(server.address))
    except Transient:
        return
    assert not answer


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b"who are you?"),
        (401, json.dumps({"error_code": "UNAUTHENTICATED", "message": "no"}).encode()),
        (403, json.dumps({"error_code": "PERMISSION_DENIED", "message": "no"}).encode()),
        (403, b"<html>forbidden</html>"),
    ],
)
def test_refused_access_is_terminal_and_names_what_to_check(
    server: BadServer, verb: str, status: int, body: bytes
) -> None:
    server.status, server.body = status, body
    with pytest.raises(Terminal, match="MLFLOW_TRACKING_TOKEN"):
        VERBS[verb](registry(server.address))


@pytest.mark.parametrize("verb", READS)
def test_a_page_that_is_not_mlflow_is_terminal(server: BadServer, verb: str) -> None:
    server.status, server.body = 404, b"<html>not found</html>"
    with pytest.raises(Terminal):
        READS[verb](registry(server.address))


def test_a_model_is_absent_only_when_the_registry_says_so(server: BadServer) -> None:
    server.status = 404
    server.body = json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}).encode()
    assert registry(server.address).read("m") == Marks("m", exists=False)


def test_a_closed_port_is_transient_at_once() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        start = time.monotonic()
        with pytest.raises(Transient):
            registry(f"http://127.0.0.1:{closed.getsockname()[1]}").read("m")
        assert time.monotonic() - start < 15


def test_a_closed_port_is_said_with_what_to_do() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(Transient) as caught:
            registry(f"http://{address}").names()
    assert str(caught.value) == (
        f"could not list registered models at http://{address}: nothing listens at {address}: start the server, or "
        "correct `registry.uri`"
    )


def test_a_host_that_nobody_knows_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Transient) as caught:
        registry("http://nobody.invalid:5000").names()
    assert "no host nobody.invalid is known: correct `registry.uri`" in str(caught.value)


@pytest.mark.parametrize(
    ("module", "uri", "package"),
    [
        ("psycopg", "postgresql://ann:s3cret@127.0.0.1/mlflow", "psycopg[binary]"),
        ("psycopg2", "postgresql+psycopg2://ann:s3cret@127.0.0.1/mlflow", "psycopg2-binary"),
        ("MySQLdb", "mysql://ann:s3cret@127.0.0.1/mlflow", "mysqlclient"),
    ],
)
def test_a_driver_that_is_not_installed_is_said_with_the_package_that_has_it(
    module: str, uri: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "meta_path", [Hides(module), *sys.meta_path])
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(Terminal) as caught:
        registry(uri).names()
    assert f"the module {module} is not installed: `pip install '{package}'`" in str(caught.value)
    assert "s3cret" not in str(caught.value)


class Hides(MetaPathFinder):
    """One module is as if it were not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname.partition(".")[0] == self._name:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=self._name)


def test_a_database_that_does_not_answer_is_transient_at_once_and_keeps_its_password() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"postgresql+psycopg2://ann:s3cret%21@127.0.0.1:{closed.getsockname()[1]}/mlflow"
        start = time.monotonic()
        with pytest.raises(Transient) as caught:
            registry(uri).read("m")
        assert time.monotonic() - start < 15
    assert "127.0.0.1" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "ann" not in str(caught.value)


@pytest.mark.parametrize("uri", ["nosuch://host/db", "postgresql+nosuchdriver://host/db", "mysql+mysqldb://host/db"])
def test_a_registry_that_no_driver_knows_is_terminal(uri: str) -> None:
    with pytest.raises(Terminal, match=r"registry\.uri"):
        registry(uri).read("m")


def test_a_server_that_hangs_is_given_up_in_seconds(server: BadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.hang = threading.Event()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    start = time.monotonic()
    with pytest.raises(Transient, match="took the request and did not answer in time: look after the server"):
        registry(server.address).read("m")
    assert time.monotonic() - start < 10


def test_a_server_with_nothing_but_errors_is_said_with_what_they_are(server: BadServer) -> None:
    server.status = 503
    with pytest.raises(Transient, match="answers with nothing but errors, too many 503 error responses: look "):
        registry(server.address).read("m")


def test_a_moment_of_trouble_is_retried_and_a_server_that_asks_for_minutes_is_not_waited_for(
    server: BadServer,
) -> None:
    server.status, server.headers = 503, {"Retry-After": "600"}
    start = time.monotonic()
    with pytest.raises(Transient):
        registry(server.address, attempts=3).read("m")
    assert len(server.requests) == 3
    assert time.monotonic() - start < 15


def test_limits_of_time_are_set_unless_a_person_set_them(server: BadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEFAULTS:
        monkeypatch.setenv(name, "unset")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    server.status = 500
    with pytest.raises(Transient):
        registry(server.address).read("m")
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


def test_what_a_server_says_is_cut_to_one_printable_line(server: BadServer) -> None:
    server.status = 500
    message = "\x1b[31mred\r\npassword=hunter2 https://u:hunter2@host/ " + "x" * 9_000
    server.body = json.dumps({"error_code": "INTERNAL_ERROR", "message": message}).encode()
    with pytest.raises(WatcherError) as caught:
        registry(server.address).read("m")
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 600
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://u:p@host:5000/a?token=x", "http://host:5000/a"),
        ("sqlite:////srv/a.db", "sqlite:////srv/a.db"),
        ("postgresql+psycopg2://u:p@host/db", "postgresql+psycopg2://host/db"),
        ("databricks", "databricks"),
        ("http://[half", "a URI that cannot be read"),
    ],
)
def test_a_place_is_shown_without_credentials(uri: str, shown: str) -> None:
    assert place(uri) == shown


def test_a_password_is_struck_out_as_written_and_as_decoded() -> None:
    secrets = secrets_of({}, "postgresql://ann:a%40b@host/db", "sqlite:///x.db")
    assert scrub("login with a@b or a%40b failed", secrets) == "login with *** or *** failed"
