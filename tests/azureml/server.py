"""The cloud of the tests behind HTTPS, and the environment in which Azure's SDKs find it."""

from __future__ import annotations

import contextlib
import ssl
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.azureml.certificate import certificate
from tests.azureml.cloud import Asked, Cloud, Gone


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, cloud: Cloud, *, secure: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cloud = cloud
        if not secure:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0
        context.load_cert_chain(*certificate())
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news; a mistake of the tests' own cloud is."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.cloud.wrong.append(f"the cloud itself: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 30
    wbufsize = -1  # one segment for an answer: two would wait for each other's acknowledgement
    disable_nagle_algorithm = True

    def _any(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        query = {key.lower(): value for key, value in parse_qsl(parts.query, keep_blank_values=True)}
        headers = {key.lower(): value for key, value in self.headers.items()}
        try:
            answer = self.server.cloud.answer(Asked(self.command, unquote(parts.path), query, headers, body))
        except Gone:
            self.close_connection = True
            return
        self.send_response(answer.status)
        content = b"" if self.command == "HEAD" else answer.body
        for key, value in answer.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _any  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's own name
        """Nothing: tests read `cloud.calls`."""


@contextlib.contextmanager
def serving(cloud: Cloud) -> Iterator[dict[str, str]]:
    """The environment of a process that is to take this cloud for Azure, until the block ends."""
    servers = [_Server(cloud, secure=secure) for secure in (True, False)]
    threads = [
        threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True) for each in servers
    ]
    for thread in threads:
        thread.start()
    base, cluster = (f"127.0.0.1:{server.server_address[1]}" for server in servers)
    cloud.base, cloud.cluster = f"https://{base}", f"http://{cluster}"
    base = cloud.base
    try:
        yield {
            "ARM_CLOUD_METADATA_URL": f"{base}/metadata/endpoints?api-version=2019-05-01",
            "REQUESTS_CA_BUNDLE": str(certificate()[0]),
            "IDENTITY_ENDPOINT": f"{base}/msi/token",
            "IDENTITY_HEADER": "the-header-of-the-host",
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        }
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join(10)
