"""What the public port passes to a worker and back, with a worker that a test speaks for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.errors import Unavailable
from gateway.front import FrontConnection
from gateway.limits import Limits
from gateway.stats import Stats
from gateway.upstream import Link, Pool

OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


class Release:
    """A release whose worker listens at `path`."""

    name = "r1"
    version = 1

    def __init__(self, path: Path) -> None:
        self.pool = Pool(str(path), lambda: None)
        self.stats = Stats()

    def kept(self) -> Link | None:
        return self.pool.kept()

    async def linked(self) -> Link:
        try:
            return await self.pool.opened()
        except OSError as error:
            raise Unavailable("nobody there") from error

    def count(self, status: int, seconds: float) -> None:
        self.stats.count(status, seconds)

    def copy(self) -> None:
        """Nothing is mirrored."""

    def choose(self) -> Release:
        return self


@contextlib.asynccontextmanager
async def fronted(path: Path, talk: Talk | None) -> AsyncIterator[tuple[Release, int]]:
    """A public port before a worker that talks like that (None: there is none)."""
    loop = asyncio.get_running_loop()
    release = Release(path)
    worker = await asyncio.start_unix_server(talk, path) if talk is not None else None  # type: ignore[arg-type]
    front = await loop.create_server(lambda: FrontConnection(Limits(), loop, set(), release), "127.0.0.1", 0)
    try:
        yield release, front.sockets[0].getsockname()[1]
    finally:
        front.close()
        if worker is not None:
            worker.close()


def asked(path: Path, talk: Talk | None, request: bytes) -> tuple[bytes, Stats]:
    """The whole answer to a client that sends this, and what was counted."""

    async def ask() -> tuple[bytes, Stats]:
        async with fronted(path, talk) as (release, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return answer, release.stats

    return asyncio.run(ask())


def heard(path: Path, request: bytes) -> bytes:
    """What the worker is sent for a client's request, up to where a worker would stop reading."""
    got: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read(65536))
        writer.write(OK)

    answer, _ = asked(path, listen, request)
    assert answer.endswith(b"ok")
    return b"".join(got)


POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"


def test_headers_of_one_connection_are_not_passed_on(tmp_path: Path) -> None:
    sent = heard(
        tmp_path / "w",
        POST + b"Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-Kept: 2\r\n"
        b"Content-Length: 2\r\n\r\n{}",
    )
    head, _, body = sent.partition(b"\r\n\r\n")
    names = {line.partition(b":")[0] for line in head.split(b"\r\n")[1:]}
    assert names == {b"host", b"x-kept", b"content-length"}
    assert body == b"{}"


def test_a_small_body_in_chunks_is_passed_on_whole(tmp_path: Path) -> None:
    sent = heard(tmp_path / "w", POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")
    assert b"content-length: 2\r\n" in sent
    assert b"chunked" not in sent
    assert sent.endswith(b"\r\n\r\n{}")


def test_a_request_without_body_gets_none(tmp_path: Path) -> None:
    assert heard(tmp_path / "w", b"GET /ping?a=b HTTP/1.1\r\nHost: x\r\n\r\n") == (
        b"GET /ping?a=b HTTP/1.1\r\nhost: x\r\n\r\n"
    )


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"]
)
def test_an_answer_that_is_none_becomes_a_502_and_an_error(tmp_path: Path, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        writer.close()

    told, stats = asked(tmp_path / "w", talk, POST + b"Content-Length: 2\r\n\r\n{}")
    assert told.startswith(b"HTTP/1.1 502 ")
    assert b"x-release: r1\r\n" in told
    assert (stats.requests, stats.errors) == (1, 1)


def test_an_answer_that_ends_in_the_middle_ends_the_connection(tmp_path: Path) -> None:
    """The client must be able to tell: what was promised as 100 bytes is not completed with an error's."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

    async def ask() -> None:
        async with fronted(tmp_path / "w", talk) as (release, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"Content-Length: 2\r\n\r\n{}")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await asyncio.wait_for(reader.readexactly(1000), 10)
            assert (release.stats.requests, release.stats.errors) == (1, 1)
            writer.close()

    asyncio.run(ask())


def test_without_a_worker_the_answer_is_503(tmp_path: Path) -> None:
    told, stats = asked(tmp_path / "w", None, POST + b"Content-Length: 2\r\n\r\n{}")
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"nobody there" in told
    assert (stats.requests, stats.errors) == (1, 1)


def test_a_large_answer_to_a_slow_client_is_held_back_at_the_worker(tmp_path: Path) -> None:
    size, sent = 30 << 20, 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(1 << 16))
            sent += 1 << 16
            await writer.drain()

    async def ask() -> int:
        async with fronted(tmp_path / "w", talk) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
            writer.write(POST + b"Content-Length: 2\r\n\r\n{}")
            await asyncio.sleep(0.5)  # it does not read, so the worker cannot write on
            held = sent
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.wait_for(reader.readexactly(size), 20)
            writer.close()
            return held

    assert asyncio.run(ask()) < size / 2


def test_a_large_body_is_held_back_while_the_worker_does_not_read(tmp_path: Path) -> None:
    size = 30 << 20

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.7)
        got = 0
        while got < size:
            got += len(await reader.read(1 << 20))
        writer.write(OK)

    async def ask() -> tuple[int, bytes]:
        async with fronted(tmp_path / "w", talk) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"Content-Length: %d\r\n\r\n" % size)
            sent = 0

            async def send() -> None:
                nonlocal sent
                while sent < size:
                    writer.write(bytes(1 << 16))
                    sent += 1 << 16
                    await writer.drain()

            sending = asyncio.create_task(send())
            await asyncio.sleep(0.4)
            held = sent
            await sending
            answer = await asyncio.wait_for(reader.readuntil(b"ok"), 20)
            writer.close()
            return held, answer

    held, answer = asyncio.run(ask())
    assert held < size / 2
    assert answer.startswith(b"HTTP/1.1 200 ")
