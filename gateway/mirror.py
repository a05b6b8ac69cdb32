"""Copies of live requests for a release without traffic: nobody waits for its answers, and nobody is given them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from http import HTTPStatus
from typing import Any, Protocol

from gateway.alike import alike
from gateway.connection import Request
from gateway.errors import Unavailable
from gateway.limits import Limits
from gateway.stats import Stats
from gateway.upstream import Ask, Link

WHOLE = 100
"""Percent."""


class Release(Protocol):
    """What a mirror needs of a release."""

    name: str

    async def linked(self) -> Link:
        """A connection, as soon as there is a worker. Raises Unavailable after a while."""
        raise NotImplementedError


class Kept:
    """Bytes as they pass; nothing of them once they are too many."""

    __slots__ = ("_parts", "_room", "whole")

    def __init__(self, most: int) -> None:
        self._parts: list[bytes] = []
        self._room = most
        self.whole = True

    def add(self, part: bytes) -> None:
        self._room -= len(part)
        if self._room < 0:
            self.whole = False
            self._parts.clear()
        else:
            self._parts.append(part)

    def bytes(self) -> bytes:
        return b"".join(self._parts)


class Copy:
    """One live request and its answer, kept while they pass."""

    __slots__ = ("_mirror", "answer", "body", "kind", "status")

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self.body = Kept(mirror.limits.mirror_body)
        self.answer = Kept(mirror.limits.mirror_answer)
        self.kind: bytes | None = None
        self.status = 0

    def done(self, request: Request, status: int) -> None:
        """The client has its whole answer."""
        self.kind, self.status = request.header(b"content-type"), status
        self._mirror.take(self)


class Mirror:
    """Sends a share of the requests on, a few at a time; what does not fit into its queue is dropped and counted."""

    def __init__(self, release: Release, percent: int, limits: Limits) -> None:
        self.release = release
        self.percent = percent
        self.limits = limits
        self.stats = Stats()
        self.dropped = 0
        """Not sent: too large, or the release was too slow for so many."""
        self.compared = 0
        """Both answered 200, and their answers can be compared."""
        self.disagreed = 0
        self._waiting: deque[Copy] = deque()
        self._sending: set[asyncio.Task[None]] = set()

    def copy(self) -> Copy | None:
        """For a request that begins, None where it is not one of the share."""
        return Copy(self) if random.random() * WHOLE < self.percent else None  # noqa: S311 - a share, not a secret

    def take(self, copy: Copy) -> None:
        """Send it as soon as its turn comes, or drop it."""
        if not copy.body.whole or len(self._waiting) >= self.limits.mirror_waiting:
            self.dropped += 1
            return
        self._waiting.append(copy)
        self._go_on()

    def end(self) -> None:
        """Nothing more is sent; what is on its way may end."""
        self._waiting.clear()

    def told(self) -> dict[str, Any]:
        counted = {"dropped": self.dropped, "compared": self.compared, "disagreed": self.disagreed}
        return {"release": self.release.name, "percent": self.percent, "traffic": {**self.stats.told(), **counted}}

    def _go_on(self) -> None:
        while self._waiting and len(self._sending) < self.limits.mirror_at_once:
            task = asyncio.get_running_loop().create_task(self._send(self._waiting.popleft()))
            self._sending.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._go_on()

    async def _send(self, copy: Copy) -> None:
        body = copy.body.bytes()
        kind = b"content-type: %b\r\n" % copy.kind if copy.kind is not None else b""
        head = b"POST /invocations HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n" % (kind, len(body))
        begun = time.perf_counter()
        answer: bytes | None = None
        status = HTTPStatus.GATEWAY_TIMEOUT.value
        try:
            async with asyncio.timeout(self.limits.request):
                ask = Ask(await self.release.linked(), self.limits.mirror_answer)
                begun = time.perf_counter()
                answered, said = await ask.send(head + body)
            status, answer = int(answered[9:12]), None if ask.cut else said
        except Unavailable:
            status = HTTPStatus.SERVICE_UNAVAILABLE
        except ConnectionError:
            status = HTTPStatus.BAD_GATEWAY
        except TimeoutError:
            pass
        self.stats.count(status, time.perf_counter() - begun)
        if status == copy.status == HTTPStatus.OK and answer is not None and copy.answer.whole:
            self._compare(copy.answer.bytes(), answer)

    def _compare(self, given: bytes, mirrored: bytes) -> None:
        same = alike(given, mirrored)
        if same is not None:
            self.compared += 1
            self.disagreed += not same
