"""The page on this machine: a server in a thread of the watcher's own process."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from watcher.errors import UserError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
AT_ONCE = 64
"""Requests and connections; more are answered 503."""
IDLE = 15
"""Seconds for which an idle connection is kept."""
PATIENCE = 3.0
"""Seconds for answers under way when the server stops."""


def names(host: str) -> frozenset[str] | None:
    """Names under which a server on this address may be asked for; None: beyond this machine, so any."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return LOOPBACK | {host} if loopback else None


@contextmanager
def serving(app: ASGIApp, host: str, port: int) -> Iterator[str]:
    """Serve while inside, and give the address. Raises UserError where the port cannot be had."""
    try:
        import uvicorn
    except ImportError:
        raise UserError(
            "The page needs uvicorn, which is not installed: pip install 'mlflow-registry-watcher[local]'."
        ) from None
    listening = _listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=AT_ONCE,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=int(PATIENCE),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), name="page", daemon=True)
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(PATIENCE + 1.0)
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"The page cannot be served on {host}: {error.strerror or error}.") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(AT_ONCE)
    except OSError as error:
        listening.close()
        raise UserError(
            f"The page cannot be served on {host} port {port}: {error.strerror}; choose another port."
        ) from error
    return listening
