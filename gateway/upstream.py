"""Connections from the gateway to one worker, kept and used again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

HEAD_MOST = 64 * 1024


class Sink(Protocol):
    """Whoever waits for an answer of a worker."""

    def answer(self, status: int, head: bytes, body: bytes, last: bool) -> None:
        """Status line and headers (without the empty line), and what came of the body with them."""

    def more(self, body: bytes, last: bool) -> None:
        """A further part of the body."""

    def broke(self) -> None:
        """The connection is gone before the answer was whole."""

    def worker_ready(self, ready: bool) -> None:
        """The worker takes more of the request's body, or does not for now."""


class Link(asyncio.Protocol):
    """One connection. Workers answer in a form that is known: HTTP/1.1 with Content-Length, nothing before it."""

    transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.sink: Sink | None = None
        self.closed = False
        self._head = b""
        self._left: int | None = None
        self._bodiless = False
        self._paused = False
        self._dropped = False
        """Whether it is us who ended it."""

    def carry(self, sink: Sink, data: bytes, bodiless: bool) -> None:
        """Send the head of a request, and what there is of its body; `bodiless` where the answer to it is (HEAD)."""
        self.sink = sink
        self._head = b""
        self._left = None
        self._bodiless = bodiless
        self.transport.write(data)

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def pause(self, paused: bool) -> None:
        """Stop, or go on, reading the answer."""
        if paused != self._paused and not self.closed:
            self._paused = paused
            if paused:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def drop(self) -> None:
        """Give up the request: the connection cannot be used again."""
        self.sink = None
        self._dropped = True
        if not self.closed:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are not of the class, but of its kind
        self.pool.links.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.pool.links.discard(self)
        if not self._dropped and not self.pool.closed:
            self.pool.doubt()
        if self in self.pool.idle:
            self.pool.idle.remove(self)
        sink, self.sink = self.sink, None
        if sink is not None:
            sink.broke()

    def pause_writing(self) -> None:
        if self.sink is not None:
            self.sink.worker_ready(False)

    def resume_writing(self) -> None:
        if self.sink is not None:
            self.sink.worker_ready(True)

    def data_received(self, data: bytes) -> None:
        sink = self.sink
        if sink is None:
            self.transport.abort()
            return
        if self._left is not None:
            self._left -= len(data)
            last = self._left <= 0
            if last:
                self._finish()
            sink.more(data, last)
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            if len(self._head) > HEAD_MOST:
                self.transport.abort()
            return
        head, body = self._head[: end + 2], self._head[end + 4 :]
        try:
            status = int(head[9:12])
            at = head.index(b"\r\ncontent-length: ") + 18
            length = int(head[at : head.index(b"\r", at)])
        except ValueError:
            self.transport.abort()
            return
        self._left = 0 if self._bodiless else length - len(body)
        last = self._left <= 0
        if last:
            self._finish()
        sink.answer(status, head, body, last)

    def _finish(self) -> None:
        self.sink = None
        self._head = b""
        self._left = None
        self.pool.keep(self)


class Pool:
    """All connections to one worker process."""

    def __init__(self, path: str, doubt: Callable[[], None]) -> None:
        self.path = path
        self.doubt = doubt
        """Called when a connection ends from the other side: workers end none while they live."""
        self.links: set[Link] = set()
        self.idle: list[Link] = []
        self.closed = False

    def kept(self) -> Link | None:
        """A connection that is open and idle, None where there is none."""
        while self.idle:
            link = self.idle.pop()
            if not link.closed and not link.transport.is_closing():
                return link
        return None

    def keep(self, link: Link) -> None:
        """The connection is idle; it is used again, unless the worker is going."""
        if self.closed:
            link.transport.close()
        elif not link.closed:
            self.idle.append(link)

    async def opened(self) -> Link:
        """A new connection. Raises OSError where the worker does not listen."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: Link(self), self.path)
        return link

    @property
    def busy(self) -> int:
        """Requests on their way."""
        return sum(1 for link in self.links if link.sink is not None)

    def close(self) -> None:
        """Close what is idle now, and nothing is kept from here on."""
        self.closed = True
        for link in list(self.idle):
            link.transport.abort()
        self.idle.clear()


class Ask:
    """One request whose whole answer is awaited."""

    def __init__(self, link: Link, most: int | None = None) -> None:
        self._link = link
        self._most = most
        self._size = 0
        self.cut = False
        """Whether the body was longer than `most` bytes, and only its beginning is kept."""
        self._answered: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self._head = b""
        self._parts: list[bytes] = []

    async def send(self, request: bytes) -> tuple[bytes, bytes]:
        """Head (without the empty line) and body of the answer. Raises ConnectionError where the worker ends before."""
        self._link.carry(self, request, bodiless=False)
        try:
            return await self._answered
        finally:
            if not self._answered.done() or self._answered.cancelled():
                self._link.drop()

    def answer(self, status: int, head: bytes, body: bytes, last: bool) -> None:
        self._head = head
        self.more(body, last)

    def more(self, body: bytes, last: bool) -> None:
        self._size += len(body)
        self.cut = self._most is not None and self._size > self._most
        if not self.cut:
            self._parts.append(body)
        if last and not self._answered.done():
            self._answered.set_result((self._head, b"".join(self._parts)))

    def broke(self) -> None:
        if not self._answered.done():
            self._answered.set_exception(ConnectionResetError("The release ended while it answered."))

    def worker_ready(self, ready: bool) -> None:
        """Nothing to hold back: the request was sent whole."""
