"""One request over HTTP that ends in time, however slowly the other side answers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ms: float


class _Connections:
    """What one request opened. Shut from outside, a read that waits ends at once."""

    def __init__(self) -> None:
        self.shut = False
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []

    def add(self, connection: socket.socket) -> None:
        # A copy: TLS takes the connection itself over, and reads on from another object.
        with self._lock:
            self._open.append(connection.dup())
            if self.shut:
                self._shut()

    def end(self) -> None:
        with self._lock:
            self.shut = True
            self._shut()

    def close(self) -> None:
        with self._lock:
            for each in self._open:
                each.close()
            self._open.clear()

    def _shut(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def post(uri: str, body: bytes, headers: Mapping[str, str], *, connect: float, within: float, most: int) -> Answer:
    """Send a body and read at most `most` bytes of the answer; no redirect is followed.

    `connect` bounds the seconds until there is a connection, `within` those of the whole: a time-out of requests starts
    again with every byte. Raises TimeoutError then, else what requests and urllib3 raise.
    """
    import requests

    connections, begun = _Connections(), time.monotonic()
    ends = threading.Timer(within, connections.end)
    ends.daemon = True
    ends.start()
    try:
        with requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, _adapter(connections))
            waits = (min(connect, within), within)
            with session.post(
                uri, data=body, headers=headers, timeout=waits, allow_redirects=False, stream=True
            ) as answer:
                read = answer.raw.read(most, decode_content=True)
                found = Answer(answer.status_code, answer.headers, read, (time.monotonic() - begun) * 1000)
    except Exception:
        if connections.shut:
            raise _late(within) from None
        raise
    finally:
        ends.cancel()
        connections.close()
    if connections.shut:
        # The end of a body without a length looks like one that was cut.
        raise _late(within)
    return found


def _late(within: float) -> TimeoutError:
    return TimeoutError(f"no whole answer within {within:g} s")


def _adapter(connections: _Connections) -> Any:
    from requests.adapters import HTTPAdapter

    class Noting(HTTPAdapter):
        def get_connection_with_tls_context(self, *given: Any, **named: Any) -> Any:
            pool: Any = super().get_connection_with_tls_context(*given, **named)

            class Connection(pool.ConnectionCls):  # type: ignore[misc]  # of http or https
                def _new_conn(self) -> socket.socket:
                    made: socket.socket = super()._new_conn()
                    connections.add(made)
                    return made

            pool.ConnectionCls = Connection
            return pool

    return Noting()
