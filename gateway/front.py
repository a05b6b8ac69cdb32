"""The public port of one endpoint: chooses a release for each request and carries request and answer across."""

from __future__ import annotations

import asyncio
import email.utils
import time
from typing import Protocol

from gateway import wire
from gateway.connection import HttpConnection, Request
from gateway.errors import Unavailable
from gateway.limits import Limits
from gateway.mirror import Copy
from gateway.upstream import Link

HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"expect",
        b"content-length",
        b"proxy-connection",
    )
)
"""Headers that speak of one connection, or are written anew."""
HELD = 256 * 1024
"""Bytes of a body that wait here while no worker takes them."""


class Release(Protocol):
    """What the front needs of a release."""

    name: str
    version: int

    def kept(self) -> Link | None:
        """An idle connection to its worker, None where there is none right now."""

    async def linked(self) -> Link:
        """A connection, as soon as there is a worker. Raises Unavailable after a while."""
        raise NotImplementedError

    def count(self, status: int, seconds: float) -> None:
        """One answer to a request for a prediction."""


class Choice(Protocol):
    """What the front needs of an endpoint."""

    def choose(self) -> Release | None:
        """Whose turn it is, None where nothing serves."""

    def copy(self) -> Copy | None:
        """What keeps a request for a mirror while it passes, None where it is not mirrored."""


class Clock:
    """The `date` header, written once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._line = b"date: %b\r\n" % email.utils.formatdate(now, usegmt=True).encode()
        return self._line


CLOCK = Clock()


class FrontConnection(HttpConnection):
    """One client of a public port."""

    streams = True

    def __init__(
        self,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        peers: set[HttpConnection],
        choice: Choice,
    ) -> None:
        super().__init__(limits, loop, peers)
        self.choice = choice
        self.exchange: Exchange | None = None

    def begin(self, request: Request) -> None:
        release = self.choice.choose()
        if release is None:
            self.reply(503, b"application/json", wire.error_body(503, "No release has any traffic here."), CLOCK.line())
            return
        self.exchange = Exchange(self, request, release)
        self.exchange.start()

    def more(self, request: Request) -> None:
        if self.exchange is not None:
            self.exchange.feed()

    def abandon(self, request: Request) -> None:
        if self.exchange is not None:
            self.exchange.client_gone()
            self.exchange = None

    def client_ready(self, ready: bool) -> None:
        if self.exchange is not None:
            self.exchange.client_ready(ready)

    @property
    def answering(self) -> bool:
        return self.exchange is not None and self.exchange.answering


class Exchange:
    """One request to one release. Goes on without its client: what the release answers is counted all the same."""

    __slots__ = (
        "_task",
        "answering",
        "chunked",
        "client",
        "copy",
        "counted",
        "link",
        "release",
        "request",
        "started",
        "status",
    )

    def __init__(self, client: FrontConnection, request: Request, release: Release) -> None:
        self.client: FrontConnection | None = client
        self.request = request
        self.release = release
        self.link: Link | None = None
        self.chunked = False
        self.answering = False
        self.status = 0
        self.counted = request.method == b"POST" and request.path == b"/invocations"
        self.copy = client.choice.copy() if self.counted else None
        self.started = time.perf_counter()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        link = self.release.kept()
        if link is not None:
            self._send(link)
        else:
            self._task = asyncio.get_running_loop().create_task(self._find())

    async def _find(self) -> None:
        try:
            link = await self.release.linked()
        except Unavailable as error:
            self._fail(503, str(error))
            return
        if self.client is None and not self.request.complete:
            link.pool.keep(link)
            return
        self._send(link)

    # To the worker

    def _send(self, link: Link) -> None:
        request = self.request
        self.link = link
        lines = [b"%b %b HTTP/1.1" % (request.method, request.target)]
        hop = _hop(request)
        lines += [b"%b: %b" % pair for pair in request.headers if pair[0] not in hop]
        body = self._taken()
        if request.complete and (request.chunked or request.length is not None):
            lines.append(b"content-length: %d" % len(body))
        elif request.length is not None:
            lines.append(b"content-length: %d" % request.length)
        elif request.chunked:
            lines.append(b"transfer-encoding: chunked")
            self.chunked = True
            body = _chunk(body)
        if self.client is not None:
            self.client.hold(held=False)
        # The last thing here: it may tell at once that the worker takes no more for now.
        link.carry(self, b"\r\n".join(lines) + b"\r\n\r\n" + body, bodiless=request.method == b"HEAD")

    def feed(self) -> None:
        """More of the body arrived, or its end."""
        request = self.request
        if self.link is None:
            if self.client is not None and request.size > HELD:
                self.client.hold(True)
            return
        body = self._taken()
        if self.chunked:
            body = _chunk(body) + (b"0\r\n\r\n" if request.complete else b"")
        if body:
            self.link.send(body)
        if request.complete:
            self.started = time.perf_counter()

    def _taken(self) -> bytes:
        body = self.request.take()
        if self.copy is not None:
            self.copy.body.add(body)
        return body

    def worker_ready(self, ready: bool) -> None:
        if self.client is not None:
            self.client.hold(not ready)

    # To the client

    def answer(self, status: int, head: bytes, body: bytes, last: bool) -> None:
        self.status = status
        if self.copy is not None:
            self.copy.answer.add(body)
        client = self.client
        if client is not None:
            self.answering = True
            end = b"connection: close\r\n\r\n" if client.must_close(self.request) else b"\r\n"
            client.write(head + CLOCK.line() + end + body)
        if last:
            self._end()

    def more(self, body: bytes, last: bool) -> None:
        if self.copy is not None:
            self.copy.answer.add(body)
        if self.client is not None:
            self.client.write(body)
        if last:
            self._end()

    def client_ready(self, ready: bool) -> None:
        """The client takes what we write, or does not: then neither do we from the worker."""
        if self.link is not None:
            self.link.pause(not ready)

    def broke(self) -> None:
        self.link = None
        if self.answering and self.client is not None:
            self._count(502)
            client, self.client = self.client, None
            client.exchange = None
            client.drop()
            return
        self._fail(502, f"The release {self.release.name} ended while it answered.")

    def client_gone(self) -> None:
        """Nobody waits any more. A request that is whole is left to end, so that its outcome is known."""
        self.client = None
        if self.link is not None:
            if not self.request.complete:
                self.link.drop()
                self.link = None
            else:
                self.link.pause(False)

    def _end(self) -> None:
        self._count(self.status)
        client, self.client = self.client, None
        link, self.link = self.link, None
        if link is not None:
            link.pause(False)
            if not self.request.complete:
                link.drop()
        if client is not None:
            client.exchange = None
            client.done()
        if self.copy is not None and self.request.complete:
            self.copy.done(self.request, self.status)

    def _fail(self, status: int, message: str) -> None:
        self._count(status)
        client, self.client = self.client, None
        if client is not None:
            client.exchange = None
            client.reply(
                status,
                b"application/json",
                wire.error_body(status, message),
                b"x-model-version: %d\r\nx-release: %b\r\n" % (self.release.version, self.release.name.encode())
                + CLOCK.line(),
            )

    def _count(self, status: int) -> None:
        if self.counted:
            self.counted = False
            self.release.count(status, time.perf_counter() - self.started)


def _hop(request: Request) -> frozenset[bytes]:
    """Headers that are not passed on; the client may name more of them in its `connection`."""
    named = request.header(b"connection")
    if named is None or named.lower() in (b"keep-alive", b"close"):
        return HOP
    return HOP | {name.strip() for name in named.lower().split(b",")}


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""
