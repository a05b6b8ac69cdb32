"""`watcher run --page`."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading

import pytest

from tests.cli.conftest import Desk
from watcher.cli.output import Output


class Visitor(threading.Thread):
    """Asks the page as soon as its address is told, and lets the watcher go on until then."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self.path, self.answer = path, b""
        self.told = threading.Event()
        self.address = ""

    def run(self) -> None:
        assert self.told.wait(20.0)
        found = re.fullmatch(r"Status page: http://(.+):(\d+)/", self.address)
        assert found
        connection = http.client.HTTPConnection(found[1], int(found[2]), timeout=10.0)
        connection.request("GET", self.path)
        self.answer = connection.getresponse().read()


@pytest.fixture
def visitor(monkeypatch: pytest.MonkeyPatch) -> Visitor:
    visiting = Visitor("/api/model?name=churn")
    warn = Output.warn

    def told(out: Output, line: str) -> None:
        warn(out, line)
        if line.startswith("Status page"):
            visiting.address = line
            visiting.start()
            visiting.told.set()
            visiting.join(20.0)

    monkeypatch.setattr(Output, "warn", told)
    return visiting


def test_the_page_is_served_in_the_watchers_own_process_on_this_machine_only(desk: Desk, visitor: Visitor) -> None:
    desk.crowned(0.8)
    ran = desk("run", "--for", "0.5", "--page", "0")
    assert ran.code == 0
    assert "Status page: http://127.0.0.1:" in ran.err
    told = json.loads(visitor.answer)
    assert (told["status"]["champion"], told["state"]["code"]) == (1, "serving")
    assert told["orders"][-1]["command"] == f"watcher --config {desk.path} hold churn"


def test_a_port_in_use_is_named(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = desk("run", "--for", "5", "--page", str(port))
    assert ran.code == 2
    assert ran.err == (
        f"The page cannot be served on 127.0.0.1 port {port}: Address already in use; choose another port.\n"
    )


@pytest.mark.parametrize("place", ["x", "70000", "127.0.0.1:", "-1", "8080/tcp"])
def test_a_place_that_is_none_is_a_usage_error(desk: Desk, place: str) -> None:
    ran = desk("run", f"--page={place}")
    assert ran.code == 2
    assert "write a port such as 8080" in ran.err


def test_the_page_does_not_go_with_once(desk: Desk) -> None:
    assert desk("run", "--once", "--page", "8080").code == 2


def test_a_page_beyond_this_machine_is_warned_of(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.page.serve.names", lambda _: None)
    ran = desk("run", "--for", "0.1", "--page", "0")
    assert ran.code == 0
    assert "it asks for no password" in ran.err
