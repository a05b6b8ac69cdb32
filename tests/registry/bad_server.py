"""A server that answers as it is told to: with faults, with nonsense, or not at all."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class BadServer:
    """What it answers next; requests seen so far."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: threading.Event | None = None
    """Where set, an answer waits for it."""
    requests: list[str] = field(default_factory=list)
    address: str = ""


@contextlib.contextmanager
def bad_server() -> Iterator[BadServer]:
    """Listens on a free port of this machine until the block ends."""
    script = BadServer()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            script.requests.append(f"{self.command} {self.path}")
            if script.hang:
                script.hang.wait(30)
            with contextlib.suppress(OSError):
                self.send_response(script.status)
                for name, value in script.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(script.body)))
                self.end_headers()
                self.wfile.write(script.body)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    script.address = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        if script.hang:
            script.hang.set()
        listener.shutdown()
        thread.join()
        listener.server_close()
