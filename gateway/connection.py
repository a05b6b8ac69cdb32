"""One client's HTTP/1.1 connection: parsing, pipelining, bounds. What is answered is a subclass's business."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools

from gateway import wire
from gateway.limits import Limits

PIPELINED = 256
"""Requests that may wait on one connection behind the one being answered."""
LINGER = 2.0
"""Seconds in which a refused client may go on sending, so that it gets to read why."""


class BadRequest(Exception):
    """The request cannot be answered as sent; the connection ends after the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Request:
    """One request as far as it has arrived."""

    __slots__ = (
        "begun",
        "chunked",
        "chunks",
        "complete",
        "expects",
        "headers",
        "keep_alive",
        "length",
        "method",
        "minor",
        "refusal",
        "seen",
        "size",
        "target",
        "told",
    )

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        """Names in lower case."""
        self.minor = 1
        """The y of HTTP/1.y."""
        self.keep_alive = True
        self.chunked = False
        self.length: int | None = None
        """What Content-Length says."""
        self.expects = False
        """Whether it waits for `100 Continue`."""
        self.chunks: list[bytes] = []
        """Parts of the body that nobody took yet."""
        self.size = 0
        """Bytes of `chunks`."""
        self.seen = 0
        """Bytes of the body so far."""
        self.complete = False
        self.begun = False
        self.told = False
        """Whether the subclass knows of its end."""
        self.refusal: BadRequest | None = None

    @property
    def path(self) -> bytes:
        """The path of the target, without query; of an absolute target too."""
        target = self.target
        if not target.startswith(b"/"):
            try:
                target = httptools.parse_url(target).path or b"/"
            except httptools.HttpParserInvalidURLError:
                return target
        return target.partition(b"?")[0].partition(b"#")[0]

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    def take(self) -> bytes:
        """The part of the body that arrived since the last call."""
        body = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        self.size = 0
        return body


class HttpConnection(asyncio.Protocol):
    """Calls `begin` for one request at a time, in order, once it is whole or larger than `limits.spill`.

    A subclass answers with `reply`, or writes itself and then calls `done`.
    """

    transport: asyncio.Transport
    streams = False
    """Whether `begin` may be called before the body is whole; then `more` tells of the rest."""

    def __init__(self, limits: Limits, loop: asyncio.AbstractEventLoop, peers: set[HttpConnection]) -> None:
        self.limits = limits
        self.loop = loop
        self.peers = peers
        self.parser: Any = None
        self.queue: list[Request] = []
        self.request = Request()
        """The one that is being parsed."""
        self.head_size = 0
        self.in_head = False
        self.deadline: float | None = None
        """When the client has been silent for too long, None while it is our turn."""
        self.closing = False
        """Nothing more is parsed; the connection ends when the last answer is out."""
        self.lingering = False
        self.eof = False
        self.full = False
        """The client does not take what we wrote."""
        self.reading = True
        self.held = False
        """A subclass does not want more of the body now."""
        self.closed = False
        self.leaving = False
        """The next answer is the last one."""
        self._unseen = False
        """The parser is given a head that was made up here."""

    # What subclasses say

    def begin(self, request: Request) -> None:
        raise NotImplementedError

    def more(self, request: Request) -> None:
        """More of the body of a request that has begun, or its end."""

    def abandon(self, request: Request) -> None:
        """The request that has begun will never be whole, or its client is gone."""

    def client_ready(self, ready: bool) -> None:
        """The client takes what we write, or does not for now."""

    # Answering

    def reply(self, status: int, content_type: bytes, body: bytes, extra: bytes = b"") -> None:
        """Answer the current request in one go."""
        request = self.queue[0]
        last = self.must_close(request)
        head = wire.head(status, content_type, len(body), extra + (b"connection: close\r\n" if last else b""))
        self.write(head + b"\r\n" + (b"" if request.method == b"HEAD" else body))
        self.done()

    def must_close(self, request: Request) -> bool:
        """Whether the answer to this request is the last one; HTTP/1.0 clients keep only what they asked to keep."""
        return not request.keep_alive or not request.complete or self.eof or (self.closing and len(self.queue) == 1)

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.transport.write(data)

    def done(self) -> None:
        """The current request has its whole answer."""
        request = self.queue.pop(0)
        if self.closed:
            return
        if not request.keep_alive or not request.complete or ((self.closing or self.eof) and not self.queue):
            self.linger()
            return
        self.held = False
        if self.queue:
            self.loop.call_soon(self.advance)
        else:
            self.deadline = self.loop.time() + self.limits.idle
            self._flow()

    def linger(self) -> None:
        """Say that we are done, then read a little of what is still being sent: an abrupt end would eat the answer."""
        self.closing = self.lingering = True
        self.queue.clear()
        if self.closed:
            return
        if self.eof:
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.deadline = self.loop.time() + LINGER
        if not self.reading:
            self.reading = True
            self.transport.resume_reading()

    def leave(self) -> None:
        """End with the answer to what is under way, or to the next request where nothing is."""
        self.leaving = True
        if self.queue:
            self.queue[-1].keep_alive = False

    def drop(self) -> None:
        if not self.closed:
            self.transport.abort()

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are not of the class, but of its kind
        self.parser = httptools.HttpRequestParser(self)
        self.peers.add(self)
        self.deadline = self.loop.time() + self.limits.head_time
        if len(self.peers) > self.limits.connections:
            self.queue.append(Request())
            self.refuse(BadRequest(503, "Too many connections."))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.peers.discard(self)
        if self.queue and self.queue[0].begun:
            self.abandon(self.queue[0])
        self.parser = None

    def eof_received(self) -> bool:
        self.eof = True
        if self.lingering or not self.queue:
            return False
        last = self.queue[-1]
        if not last.complete and last.refusal is None:
            if last.begun:
                self.abandon(last)
            return False
        return True

    def pause_writing(self) -> None:
        self.full = True
        self.deadline = self.loop.time() + self.limits.stall
        self.client_ready(False)

    def resume_writing(self) -> None:
        self.full = False
        self.deadline = None if self.queue else self.loop.time() + self.limits.idle
        self.client_ready(True)

    def sweep(self, now: float) -> None:
        """Called every second or so: clients that keep us waiting lose their connection."""
        if self.deadline is None or now < self.deadline or self.closed:
            return
        if self.full or self.lingering or (not self.queue and not self.in_head):
            self.drop()
            return
        if not self.queue:
            self.queue.append(Request())
        self.refuse(BadRequest(408, "The request did not arrive in time."))

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        now = self.loop.time()
        if not self.queue and not self.in_head:
            self.in_head = True
            self.head_size = 0
            self.deadline = now + self.limits.head_time
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
            return
        except (httptools.HttpParserError, httptools.HttpParserCallbackError) as error:
            cause = error.__context__
            self._broken(cause if isinstance(cause, BadRequest) else BadRequest(400, "Malformed HTTP request."))
            return
        self._fed(len(data), now)

    def _fed(self, size: int, now: float) -> None:
        if self.in_head:
            self.head_size += size
            if self.head_size > self.limits.head:
                self._broken(BadRequest(431, f"More than {self.limits.head} bytes of headers."))
                return
        elif self.queue and not self.queue[-1].complete:
            self.deadline = now + self.limits.stall
        else:
            self.deadline = None
        self.advance()

    def _stay(self, rest: bytes) -> None:
        """Another protocol was offered: go on in this one.

        The parser has stopped before the body, and some clients send the offer with every first request; so the body is
        handed to a new parser, behind a head that nobody sees.
        """
        request = self.queue[-1]
        self.parser = httptools.HttpRequestParser(self)
        if request.chunked or request.length:
            request.complete = False
            length = b"transfer-encoding: chunked" if request.chunked else b"content-length: %d" % (request.length or 0)
            self._unseen = True
            rest = b"POST / HTTP/1.1\r\n%b\r\n\r\n%b" % (length, rest)
        self.data_received(rest)

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if self._unseen:
            return
        if len(self.queue) > PIPELINED:
            raise BadRequest(400, "Too many requests at once.")
        self.request = Request()
        self.in_head = True
        self.head_size = 0

    def on_url(self, url: bytes) -> None:
        if self._unseen:
            return
        self.request.target += url
        if len(self.request.target) > self.limits.head:
            raise BadRequest(414, "The target of the request is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._unseen:
            return
        request = self.request
        self.head_size += len(name) + len(value)
        if self.head_size > self.limits.head:
            raise BadRequest(431, f"More than {self.limits.head} bytes of headers.")
        if not self.in_head:
            return  # a trailer: nobody asks for them
        name = name.lower()
        if name == b"content-length":
            if request.length is not None or not value.isdigit():
                raise BadRequest(400, "More than one, or no whole number in, Content-Length.")
            request.length = int(value)
        elif name == b"transfer-encoding":
            if request.chunked or value.strip().lower() != b"chunked":
                raise BadRequest(501, "No other transfer encoding than chunked is understood.")
            request.chunked = True
        elif name == b"expect":
            request.expects = value.lower() == b"100-continue"
        request.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._unseen:
            self._unseen = False
            return
        request = self.request
        self.in_head = False
        self.head_size = 0
        request.method = self.parser.get_method()
        request.minor = 0 if self.parser.get_http_version() == "1.0" else 1
        request.keep_alive = self.parser.should_keep_alive() and not self.leaving
        if request.chunked and request.length is not None:
            raise BadRequest(400, "Both Content-Length and Transfer-Encoding.")
        if request.method == b"CONNECT":
            raise BadRequest(405, "This is no proxy.")
        if request.length is not None and request.length > self.limits.body:
            raise BadRequest(413, f"The body is larger than {self.limits.body} bytes.")
        self.queue.append(request)

    def on_body(self, body: bytes) -> None:
        request = self.request
        request.seen += len(body)
        if request.seen > self.limits.body:
            raise BadRequest(413, f"The body is larger than {self.limits.body} bytes.")
        request.chunks.append(body)
        request.size += len(body)

    def on_message_complete(self) -> None:
        self.request.complete = True

    # Within

    def advance(self) -> None:
        """Go on with the request whose turn it is."""
        if self.closed or not self.queue:
            return
        request = self.queue[0]
        if request.refusal is not None:
            self.refuse(request.refusal)
            return
        if request.begun:
            if not request.told:
                request.told = request.complete
                self.more(request)
        elif request.complete or (self.streams and request.size > self.limits.spill):
            request.begun = True
            request.told = request.complete
            self.begin(request)
        if self.queue and self.queue[0].expects and not self.queue[0].complete and not self.queue[0].seen:
            self.queue[0].expects = False
            if request.minor:
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._flow()

    def hold(self, held: bool) -> None:
        """Stop, or go on, reading the body."""
        self.held = held
        self._flow()

    def refuse(self, refusal: BadRequest) -> None:
        """Answer the current request with an error, unless its answer is on its way, and end the connection."""
        request = self.queue[0]
        if request.begun:
            self.abandon(request)
        body = wire.error_body(refusal.status, refusal.message)
        if self.answering:
            self.drop()
            return
        head = wire.head(refusal.status, b"application/json", len(body), b"connection: close\r\n")
        self.write(head + b"\r\n" + (b"" if request.method == b"HEAD" else body))
        self.linger()

    @property
    def answering(self) -> bool:
        """Whether part of the current answer was written."""
        return False

    def _broken(self, refusal: BadRequest) -> None:
        """What arrives is not HTTP any more: answer what came before it, then this, then nothing."""
        self.closing = True
        if not self.queue or self.queue[-1].complete:
            self.queue.append(Request())
        self.queue[-1].refusal = refusal
        self.advance()

    def _flow(self) -> None:
        wanted = self.lingering or not (self.held or len(self.queue) > 1)
        if wanted != self.reading and not self.closed:
            self.reading = wanted
            if wanted:
                self.transport.resume_reading()
                if self.queue and not self.queue[0].complete:
                    self.deadline = self.loop.time() + self.limits.stall
            else:
                self.transport.pause_reading()
                if not self.full:
                    self.deadline = None


async def sweep(peers: set[HttpConnection]) -> None:
    """Run for as long as the connections are served."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(0.5)
        now = loop.time()
        for peer in list(peers):
            peer.sweep(now)
