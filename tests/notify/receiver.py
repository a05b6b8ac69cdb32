"""Somebody who is notified: an HTTP server of this machine that keeps what it is sent, or refuses, or says nothing."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What arrived, as (title, message)."""

    port: int = 0
    got: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200
    silent: threading.Event = field(default_factory=threading.Event)
    """Set: a request is answered only once it is cleared by the end of the test."""
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """As Apprise takes it."""
        return f"json://bob:s3cretpass@127.0.0.1:{self.port}/"


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Until the block ends."""
    receiver = Receiver()

    class Web(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if receiver.silent.is_set():
                receiver.over.wait(30.0)
            elif receiver.status == 200:
                receiver.got.append((told["title"], told["message"]))
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 as the base class has it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
