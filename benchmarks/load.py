"""A load generator in a process of its own: keep-alive connections, as fast as they are answered or at a fixed rate.

`python -m benchmarks.load` reads one order a line from its input and answers each with one line; both are JSON.
`Load` is the other end of that pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from benchmarks.bench import BenchError

UNANSWERED = 0
"""Status of a request whose connection ended first."""
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Order:
    """What to send where. A Unix socket's path, or host and port."""

    body: str
    path: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    connections: int = 1
    requests: int = 0
    """Sent in all, besides `warm` ones on each connection that are not counted."""
    rate: float = 0.0
    """Requests a second, whether answered or not; 0: each connection sends once it was answered."""
    warm: int = 10


@dataclass(frozen=True)
class Told:
    """What came of it. Samples are (begun on the monotonic clock, seconds, status, version)."""

    samples: list[tuple[float, float, int, str]]
    seconds: float
    cpu: float
    """Seconds of the generator itself."""
    bodies: list[str] = field(default_factory=list)
    """Different answers, in order of their first appearance; at most a few."""

    @property
    def latencies(self) -> list[float]:
        return [sample[1] for sample in self.samples]

    @property
    def rate(self) -> float:
        return len(self.samples) / self.seconds

    @property
    def statuses(self) -> Counter[int]:
        return Counter(sample[2] for sample in self.samples)

    @property
    def failed(self) -> int:
        return sum(1 for sample in self.samples if sample[2] != 200)  # noqa: PLR2004 - HTTP's OK


class Load:
    """The generator's process, until `close`."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.load"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                cwd=CHECKOUT,
                start_new_session=True,
            )
        self._orders = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        self._log = log

    def begin(self, order: Order) -> None:
        """Start sending; `end` gives what came of it."""
        self._orders.write(json.dumps(asdict(order)).encode() + b"\n")
        self._orders.flush()

    def end(self) -> Told:
        """Wait until all was sent and answered."""
        line = self._answers.readline()
        if not line:
            raise BenchError(f"the load generator ended: {self._log.read_text()[-500:]}")
        told = json.loads(line)
        return Told([tuple(sample) for sample in told["samples"]], told["seconds"], told["cpu"], told["bodies"])

    def run(self, order: Order) -> Told:
        self.begin(order)
        return self.end()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()


@contextlib.contextmanager
def generator(log: Path) -> Iterator[Load]:
    """A generator until the block ends."""
    load = Load(log)
    try:
        yield load
    finally:
        load.close()


class _Client(asyncio.Protocol):
    """One connection with at most one request on its way."""

    transport: asyncio.Transport

    def __init__(self, run: _Run) -> None:
        import httptools

        self.run = run
        self.parser: Any = httptools.HttpResponseParser(self)
        self.begun = 0.0
        self.busy = False
        self.warm = run.order.warm
        self.version = ""
        self.parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, begun: float) -> None:
        self.begun, self.busy, self.version = begun, True, ""
        self.parts.clear()
        self.transport.write(self.run.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-model-version":
            self.version = value.decode()

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        self.busy = False
        self.run.answered(self, self.parser.get_status_code(), b"".join(self.parts))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.busy:
            self.busy = False
            self.run.answered(self, UNANSWERED, b"")
        self.run.lost(self)


class _Run:
    """One order under way."""

    BODIES = 8

    def __init__(self, order: Order) -> None:
        self.order = order
        body = order.body.encode()
        self.request = (
            b"POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.left = order.requests
        self.samples: list[tuple[float, float, int, str]] = []
        self.bodies: dict[str, None] = {}
        self.idle: deque[_Client] = deque()
        self.waiting: deque[float] = deque()
        self.warming: set[_Client] = set()
        self.gone = 0
        self.warmed = asyncio.Event()
        self.over = asyncio.Event()

    async def go(self) -> dict[str, Any]:
        clients = [await self._connected() for _ in range(self.order.connections)]
        self.warming.update(clients)
        for client in clients:
            if client.warm:
                client.send(time.monotonic())
            else:
                self._is_warm(client)
        await self.warmed.wait()
        began, cpu = time.monotonic(), time.process_time()
        if self.order.rate:
            await self._at_a_rate(clients, began)
        else:
            for client in clients:
                self._next(client)
        if self.order.requests:
            await self.over.wait()
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        for client in clients:
            client.transport.close()
        return {"samples": self.samples, "seconds": seconds, "cpu": cpu, "bodies": list(self.bodies)}

    async def _connected(self) -> _Client:
        loop = asyncio.get_running_loop()
        if self.order.path:
            return (await loop.create_unix_connection(lambda: _Client(self), self.order.path))[1]
        return (await loop.create_connection(lambda: _Client(self), self.order.host, self.order.port))[1]

    async def _at_a_rate(self, clients: list[_Client], began: float) -> None:
        self.idle.extend(clients)
        for number in range(self.order.requests):
            ahead = began + number / self.order.rate - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            # Timed from here, not from when a connection is free: an answer that is late makes the next ones late too.
            self.waiting.append(time.monotonic())
            self._pair()

    def _pair(self) -> None:
        while self.waiting and self.idle:
            self.left -= 1
            self.idle.popleft().send(self.waiting.popleft())

    def _next(self, client: _Client) -> None:
        if self.left:
            self.left -= 1
            client.send(time.monotonic())

    def answered(self, client: _Client, status: int, body: bytes) -> None:
        if client.warm:
            client.warm -= 1
            if client.warm and status != UNANSWERED:
                client.send(time.monotonic())
            else:
                self._is_warm(client)
            return
        self.samples.append((client.begun, time.monotonic() - client.begun, status, client.version))
        if len(self.bodies) < self.BODIES:
            self.bodies[body.decode("utf-8", "replace")] = None
        if len(self.samples) >= self.order.requests:
            self.over.set()
        elif status == UNANSWERED:
            asyncio.get_running_loop().create_task(self._again())
        elif self.order.rate:
            self.idle.append(client)
            self._pair()
        else:
            self._next(client)

    def lost(self, client: _Client) -> None:
        with contextlib.suppress(ValueError):
            self.idle.remove(client)
            asyncio.get_running_loop().create_task(self._again())

    async def _again(self) -> None:
        """A connection in place of one that was lost."""
        with contextlib.suppress(OSError):
            client = await self._connected()
            client.warm = 0
            if self.order.rate:
                self.idle.append(client)
                self._pair()
            else:
                self._next(client)

    def _is_warm(self, client: _Client) -> None:
        client.warm = 0
        self.warming.discard(client)
        if not self.warming:
            self.warmed.set()


def main() -> None:
    """Until the input ends."""
    import uvloop

    loop = uvloop.new_event_loop()
    for line in sys.stdin:
        order = Order(**json.loads(line))
        told = loop.run_until_complete(_Run(order).go())
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
