"""A table service with faults to order: everything goes on to Azurite, except what a test wants to go wrong."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PASSED_ON = frozenset({"content-length", "transfer-encoding", "connection", "host"})


@dataclass(frozen=True)
class Fault:
    """What becomes of one request."""

    status: int | None = None
    """Answered so, before the service has seen it; None: the connection is cut."""
    code: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    after: bool = False
    """The service has done it, and its answer is lost."""
    meanwhile: Callable[[], object] = lambda: None
    """Happens between the service's answer and its loss."""


@dataclass
class Flaky:
    """The way to Azurite, on a port of its own."""

    behind: int
    port: int = 0
    faults: list[Fault | None] = field(default_factory=list)
    """For the next requests that change something, in turn; None lets one pass."""
    reading: list[Fault | None] = field(default_factory=list)
    """For the next requests that read."""
    asked: int = 0
    """Requests so far."""
    answered: int = 0
    """Bytes of all answers so far."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    way: Flaky

    def do_GET(self) -> None:
        self._pass_on(self.way.reading)

    def do_POST(self) -> None:
        self._pass_on(self.way.faults)

    def _pass_on(self, faults: list[Fault | None]) -> None:
        self.way.asked += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = faults.pop(0) if faults else None
        if fault is not None and not fault.after:
            self._fail(fault)
            return
        onward = http.client.HTTPConnection("127.0.0.1", self.way.behind, timeout=30)
        onward.request(self.command, self.path, body, dict(self.headers))
        answer = onward.getresponse()
        content = answer.read()
        onward.close()
        self.way.answered += len(content)
        if fault is not None:
            fault.meanwhile()
            self._fail(fault)
            return
        self._answer(answer.status, answer.getheaders(), content)

    def _fail(self, fault: Fault) -> None:
        if fault.status is None:
            self.close_connection = True
            return
        self._answer(fault.status, [("x-ms-error-code", fault.code), *fault.headers], b"")

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 as the base class has it
        pass


@contextlib.contextmanager
def flaky(behind: int) -> Iterator[Flaky]:
    """A server for the length of the block that passes requests on to the port `behind`."""
    way = Flaky(behind)
    handler = type("Handler", (_Handler,), {"way": way})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        way.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield way
        finally:
            server.shutdown()
            thread.join()
