"""One release's process: loads one model, answers MLflow's scoring protocol on a Unix socket.

It runs in whatever environment the model needs, so it imports nothing but the standard library and httptools.
`<nonce>.sock` takes the requests, `<nonce>.ctl` tells the gateway how things stand, line by line.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from gateway import artifacts, priority, processes, suitable, wire
from gateway.connection import HttpConnection, Request
from gateway.files import is_full, speak_regardless
from gateway.limits import Limits
from gateway.scoring import BROKEN, HEALTHY, JSON, LATE, Answer, Scorer

LOOK_AROUND = 5.0
"""Seconds between looks at whether anybody still wants this process."""


@dataclass(frozen=True)
class Order:
    """What a worker is told; travels as JSON."""

    nonce: str
    endpoint: str
    release: str
    version: int
    key: str
    artifact_uri: str
    tracking_uri: str | None
    env: str
    folder: str
    """The release's folder; the model lies in `model` below it once it was fetched."""
    run: str
    lock: str
    """Held by the supervisor for as long as there is a gateway."""
    log: str
    kind: str
    """Which kind of place (`suitable`) this process is. It serves only what belongs there."""
    limits: dict[str, float]


class Worker:
    """What one process knows: `state` is starting, ready, failed, or `elsewhere` where another place is needed."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.limits = Limits(**order.limits)  # type: ignore[arg-type]
        self.state = "starting"
        self.detail = ""
        self.full = False
        """Whether the disk is why it failed."""
        self.place: suitable.Place | None = None
        self.scorer: Scorer | None = None
        self.changed = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self.stuck = False
        """Whether a request went beyond its time-out in the middle of scoring."""
        self.peers: set[HttpConnection] = set()
        self.pending = 0
        self.extra = b"x-model-version: %d\r\nx-release: %b\r\n" % (order.version, order.release.encode())

    # In the scoring thread: models are loaded and asked in one and the same thread, never the main one of a fork

    def load_and_score(self) -> None:
        try:
            scorer = self._load()
        except BaseException as error:  # noqa: BLE001 - a model's code may raise anything, exits included
            traceback.print_exc()
            self.full = is_full(error)
            self._tell("failed", _words(error))
            return
        if scorer is None:
            return
        gc.collect()
        gc.freeze()
        self.scorer = scorer
        priority.stand_alone()
        self._tell("ready", "")
        self.score(scorer)

    def _load(self) -> Scorer | None:
        order = self.order
        model = artifacts.fetch(order.artifact_uri, order.tracking_uri, Path(order.folder))
        if order.kind != suitable.ENVIRONMENT:
            place = suitable.place_of(model, order.env)
            if place.kind == suitable.ENVIRONMENT or (place.kind == suitable.OWN and order.kind == suitable.FORK):
                self.place = place
                self._tell("elsewhere", place.why)
                return None
        if order.tracking_uri:
            import mlflow

            mlflow.set_tracking_uri(order.tracking_uri)
        return Scorer(model)

    def score(self, scorer: Scorer) -> None:
        """Answer one job after the other, until one takes so long that another thread takes over."""
        while True:
            job = self.jobs.get()
            job.running = True
            if job.late:
                continue
            try:
                answer = scorer.score(job.body, job.content_type)
            except Exception:  # noqa: BLE001 - an error that nobody answers is a client that hangs
                traceback.print_exc()
                answer = BROKEN
            if not job.claim():
                return
            self.loop.call_soon_threadsafe(job.finish, answer)

    def _tell(self, state: str, detail: str) -> None:
        def tell() -> None:
            self.state, self.detail = state, detail
            if state == "ready":
                self.loop.create_task(self._listen())
            else:
                self.changed.set()

        self.loop.call_soon_threadsafe(tell)

    # In the loop

    async def _listen(self) -> None:
        await self._serve_on("sock", lambda: WorkerConnection(self))
        self.changed.set()

    async def _serve_on(self, ending: str, factory: Any) -> None:
        path = Path(self.order.run) / f"{self.order.nonce}.{ending}"
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen(1024)
        server = await self.loop.create_unix_server(factory, sock=listener)
        self._kept = (*getattr(self, "_kept", ()), server)  # uvloop closes a server that nobody refers to

    async def run(self) -> None:
        """Serve until a signal, or until nobody wants this process any more."""
        stop = asyncio.Event()
        self.loop.add_signal_handler(signal.SIGTERM, stop.set)
        self.loop.add_signal_handler(signal.SIGINT, lambda: None)
        await self._serve_on("ctl", lambda: Control(self))
        threading.Thread(target=self.load_and_score, name="scoring", daemon=True).start()
        guard = self.loop.create_task(self._guard(stop))
        await stop.wait()
        guard.cancel()
        deadline = self.loop.time() + self.limits.stop
        while self.pending and self.loop.time() < deadline:  # noqa: ASYNC110 - a count, looked at a few times
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)

    async def _guard(self, stop: asyncio.Event) -> None:
        """End when the gateway is gone for good, or has forgotten this process."""
        card = processes.path_of(Path(self.order.run), self.order.nonce)
        free_since: float | None = None
        missing = 0
        while not stop.is_set():
            await asyncio.sleep(min(LOOK_AROUND, self.limits.abandoned / 4))
            found = processes.read(card)
            missing = missing + 1 if found is None or found.pid != os.getpid() else 0
            now = self.loop.time()
            free_since = (free_since if free_since is not None else now) if processes.is_free(self.order.lock) else None
            if missing > 1 or (free_since is not None and now - free_since >= self.limits.abandoned):
                stop.set()

    def give_up(self, job: Job) -> None:
        """Answer a job that takes too long; the thread in it is lost, another goes on with the rest."""
        if not job.claim():
            return
        job.late = True
        if job.running and self.scorer is not None:
            self.stuck = True
            threading.Thread(target=self.score, args=(self.scorer,), name="scoring", daemon=True).start()
        job.finish(LATE)

    def status(self) -> dict[str, Any]:
        place = asdict(self.place) if self.place else None
        return {
            "state": self.state,
            "detail": self.detail,
            "full": self.full,
            "stuck": self.stuck,
            "place": place,
            "pid": os.getpid(),
            "nonce": self.order.nonce,
            "key": self.order.key,
        }


class Job:
    """One body to score."""

    __slots__ = ("_claimed", "body", "connection", "content_type", "late", "running", "timer")

    def __init__(self, connection: WorkerConnection, body: bytes, content_type: str | None) -> None:
        self.connection = connection
        self.body = body
        self.content_type = content_type
        self.late = False
        """Given up before anybody began with it."""
        self.running = False
        self._claimed = threading.Lock()
        worker = connection.worker
        self.timer = worker.loop.call_later(worker.limits.request, worker.give_up, self)

    def claim(self) -> bool:
        """Whether the caller is the one to answer: the scoring thread, or the loop that lost patience."""
        return self._claimed.acquire(blocking=False)

    def finish(self, answer: Answer) -> None:
        self.timer.cancel()
        self.connection.answer(answer)


class WorkerConnection(HttpConnection):
    """A connection of the gateway."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker.limits, worker.loop, worker.peers)
        self.worker = worker

    def begin(self, request: Request) -> None:
        self.worker.pending += 1
        path = request.path
        if path == b"/invocations" and request.method == b"POST":
            kind = request.header(b"content-type")
            job = Job(self, request.take(), kind.decode("latin-1") if kind is not None else None)
            self.worker.jobs.put(job)
            return
        scorer = self.worker.scorer
        if request.method == b"GET" and path in (b"/ping", b"/health"):
            self.answer(HEALTHY)
        elif scorer is None:
            self.answer(BROKEN)
        elif request.method == b"GET" and path == b"/version":
            self.answer(Answer(200, JSON, scorer.version))
        else:
            self._task = self.loop.create_task(self._ask_app(scorer, request))

    async def _ask_app(self, scorer: Scorer, request: Request) -> None:
        try:
            answer = await scorer.ask_app(request.method, request.target, request.headers, request.take())
        except Exception:  # noqa: BLE001 - as above
            traceback.print_exc()
            answer = BROKEN
        self.answer(answer)

    def answer(self, answer: Answer) -> None:
        self.worker.pending -= 1
        if not self.closed:
            self.reply(answer.status, answer.content_type, answer.body, answer.extra + self.worker.extra)

    def sweep(self, now: float) -> None:
        """The gateway's own connections are kept for ever."""


class Control(asyncio.Protocol):
    """Lines in, lines of JSON out: `status` at once, `wait` when the state is no longer starting."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are not of the class, but of its kind

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        for line in lines:
            if line == b"wait":
                self._task = self.worker.loop.create_task(self._wait())
            else:
                self._say()

    async def _wait(self) -> None:
        await self.worker.changed.wait()
        self._say()

    def _say(self) -> None:
        self.transport.write(wire.json_body(self.worker.status()) + b"\n")


def _words(error: BaseException) -> str:
    """The error in one line, without traceback."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def serve(order: Order) -> None:
    """Be a worker until the end; returns when the process shall end."""
    speak_regardless()

    async def main() -> None:
        await Worker(order).run()

    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        loop = uvloop.new_event_loop()
        loop.run_until_complete(main())


def main() -> None:
    """`python -m gateway.worker ORDER.json`: a worker in a process of its own."""
    order = Order(**json.loads(Path(sys.argv[1]).read_text()))
    try:
        serve(order)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # a scoring thread that hangs must not keep the process


if __name__ == "__main__":
    main()
