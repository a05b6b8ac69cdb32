"""One release's life: brought up, watched, replaced when it breaks, drained when it goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import uuid
from dataclasses import asdict, dataclass, replace
from typing import Any

from gateway import processes, suitable
from gateway.control_link import ControlLink, connect
from gateway.environments import Environments
from gateway.errors import NoRoom, StartDied, StartFailed, Unavailable, no_room
from gateway.files import bound_log, is_full, last_line
from gateway.limits import Limits
from gateway.nursery import Nursery
from gateway.paths import Home
from gateway.processes import Card
from gateway.spec import ReleaseSpec
from gateway.stats import Stats
from gateway.upstream import Link, Pool
from gateway.worker import Order

log = logging.getLogger(__name__)
STARTING, READY, FAILED = "starting", "ready", "failed"
HOPELESS = 3
"""Failed restarts in a row after which a release that once was ready is called failed; it is tried on."""


@dataclass(frozen=True)
class Surroundings:
    """What every release of one gateway shares."""

    home: Home
    limits: Limits
    nursery: Nursery
    environments: Environments


@dataclass(frozen=True)
class Worker:
    """A process that answers."""

    card: Card
    control: ControlLink
    pool: Pool


class Release:
    """`spec` with whatever process serves it at the moment."""

    def __init__(self, around: Surroundings, endpoint: str, spec: ReleaseSpec) -> None:
        self.around = around
        self.endpoint = endpoint
        self.spec = spec
        self.name = spec.name
        self.version = spec.version
        self.folder = around.home.release(endpoint, spec.name)
        self.state = STARTING
        self.detail = ""
        self.stats = Stats()
        self.worker: Worker | None = None
        self._serving = asyncio.Event()
        self._suspect = asyncio.Event()
        self._place: suitable.Place | None = None
        self.nonce = ""
        """Of the process that is being started or runs, empty before the first."""
        self._task: asyncio.Task[None] | None = None

    # What the front and the admin socket ask

    def kept(self) -> Link | None:
        return self.worker.pool.kept() if self.worker is not None and self._serving.is_set() else None

    async def linked(self) -> Link:
        """A connection to the worker, waiting for `limits.wait` where it is being replaced or says nothing.

        One that is silent for longer may be in the middle of a long computation: it is given the request then.
        Raises Unavailable where there is no worker.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.around.limits.wait):
                while not self.ended:
                    await self._serving.wait()
                    if self.worker is None:
                        continue
                    link = self.worker.pool.kept()
                    if link is not None:
                        return link
                    try:
                        return await self.worker.pool.opened()
                    except OSError:
                        self._doubt()
        if self.worker is not None:
            with contextlib.suppress(OSError):
                return self.worker.pool.kept() or await self.worker.pool.opened()
        raise Unavailable(f"The release {self.name} is {self.state}{': ' * bool(self.detail)}{self.detail}")

    def count(self, status: int, seconds: float) -> None:
        self.stats.count(status, seconds)

    @property
    def ended(self) -> bool:
        """Whether nothing will change by itself: it failed to come up, or was retired."""
        return self._task is None or self._task.done()

    def told(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "owner": self.spec.owner,
            "model": self.spec.model,
            "version": self.version,
            "key": self.spec.key,
            "state": self.state,
            "detail": self.detail,
            "pid": self.worker.card.pid if self.worker else None,
            "traffic": self.stats.told(),
        }

    # Life

    def start(self, *, adopted: Card | None = None, once_ready: bool = False) -> None:
        """Come up and stay up. `adopted`: a process of an earlier gateway; `once_ready`: it has served before."""
        self.state, self.detail = STARTING, ""
        self._task = asyncio.get_running_loop().create_task(self._live(adopted, once_ready))
        self._task.add_done_callback(_complain)

    def let_go(self) -> None:
        """Leave the process to another server; its requests are still carried."""
        if self._task is not None:
            self._task.cancel()

    async def stop(self, *, forget: bool) -> None:
        """Drain and end the process; `forget` removes the files too."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.around.nursery.settled()
        worker, self.worker = self.worker, None
        self._serving.clear()
        if worker is not None:
            await self._drain(worker, self.around.limits.drain)
            await self._end(worker)
        card = processes.read(processes.path_of(self.around.home.run, self.nonce))
        if card is not None:
            await self.around.nursery.end(card)
        if forget:
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _live(self, adopted: Card | None, once_ready: bool) -> None:
        limits = self.around.limits
        loop = asyncio.get_running_loop()
        losses = failures = 0
        while True:
            try:
                worker = await self._brought_up(adopted)
            except NoRoom as error:
                told = no_room(self.around.home.path, str(error))
                if self.detail != told:
                    self.detail = told
                    log.warning("%s/%s: %s", self.endpoint, self.name, told)
            except StartFailed as error:
                log.warning("%s/%s: %s", self.endpoint, self.name, error)
                failures += 1
                self.detail = str(error)
                if not once_ready and (failures >= HOPELESS or not isinstance(error, StartDied)):
                    self.state = FAILED
                    return
                if failures >= HOPELESS:
                    self.state = FAILED
            else:
                once_ready, failures = True, 0
                self.worker, self.state = worker, READY
                self._serving.set()
                log.info("%s/%s: ready, process %d", self.endpoint, self.name, worker.card.pid)
                since = loop.time()
                self.detail = await self._watch(worker)
                log.warning("%s/%s: %s", self.endpoint, self.name, self.detail)
                self.worker, self.state = None, STARTING
                self._serving.clear()
                if not (worker.control.lost.done() or worker.control.silent):
                    await self._drain(worker, limits.stop)
                await self._end(worker)
                if loop.time() - since > limits.settled:
                    losses = 0
            adopted = None
            losses += 1
            await asyncio.sleep(min(limits.backoff_most, limits.backoff_first * 2 ** min(losses - 1, 20)))

    async def _brought_up(self, adopted: Card | None) -> Worker:
        """A worker that is ready. Raises StartFailed, also for what the system refuses."""
        try:
            return await self._bring_up(adopted)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise (NoRoom if is_full(error) else StartFailed)(f"{error.filename or self.folder}: {why}") from error

    async def _bring_up(self, adopted: Card | None) -> Worker:
        around = self.around
        if adopted is not None:
            self.nonce = adopted.nonce
            with contextlib.suppress(StartFailed):
                return await self._awaited(adopted)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        bound_log(self.folder / "log", around.limits.log)
        place = self._place
        if place is None:
            try:
                card = await around.nursery.fork(self._order(suitable.FORK), around.limits.start)
            except NoRoom:
                raise
            except StartFailed as error:
                log.warning("%s/%s: %s", self.endpoint, self.name, error)
                card = around.nursery.spawn(self._order(suitable.OWN), None)
            try:
                return await self._awaited(card)
            except Elsewhere as elsewhere:
                place = elsewhere.place
        if place.kind == suitable.ENVIRONMENT:
            self.detail = f"building an environment: {place.why}"
            python = await around.environments.python(place, self.folder / "log")
            self.detail = ""
        else:
            python = None
        worker = await self._awaited(around.nursery.spawn(self._order(place.kind), python))
        self._place = place
        return worker

    def _order(self, kind: str) -> Order:
        around, spec = self.around, self.spec
        limits = around.limits
        # What the front let through must not be too much for the worker.
        roomy = replace(limits, head=2 * limits.head, connections=2 * limits.connections)
        self.nonce = uuid.uuid4().hex[:12]
        return Order(
            nonce=self.nonce,
            endpoint=self.endpoint,
            release=self.name,
            version=spec.version,
            key=spec.key,
            artifact_uri=spec.artifact_uri,
            tracking_uri=spec.tracking_uri,
            env=spec.env,
            folder=str(self.folder),
            run=str(around.home.run),
            lock=str(around.home.lock),
            log=str(self.folder / "log"),
            kind=kind,
            limits=asdict(roomy),
        )

    async def _awaited(self, card: Card) -> Worker:
        """The worker once it is ready. Raises StartFailed, or Elsewhere; the process is ended then."""
        limits, nursery = self.around.limits, self.around.nursery
        control: ControlLink | None = None
        try:
            async with asyncio.timeout(limits.start):
                control = await connect(self.around.home.run / f"{card.nonce}.ctl", lambda: nursery.alive(card))
                asked = control.ask(b"wait")
                while not asked.done():
                    await asyncio.wait((asked,), timeout=limits.ping_every)
                    if over := self._over_memory(card):
                        raise StartFailed(over)
                told = await asked
        except TimeoutError:
            await nursery.end(card, polite=False)
            raise StartFailed(f"The model was not loaded within {limits.start:g} seconds.") from None
        except ConnectionError:
            await nursery.end(card, polite=False)
            said = last_line(self.folder / "log")
            raise StartDied(f"The worker's process ended while it started{': ' * bool(said)}{said}") from None
        except StartFailed:
            await nursery.end(card, polite=False)
            raise
        if told.get("state") == READY and told.get("nonce") == card.nonce and told.get("key") == self.spec.key:
            return Worker(card, control, Pool(str(self.around.home.run / f"{card.nonce}.sock"), self._doubt))
        await nursery.end(card)
        if told.get("place"):
            raise Elsewhere(suitable.Place(**{**told["place"], "requirements": tuple(told["place"]["requirements"])}))
        why = str(told.get("detail") or "The worker is not the one that was started.")
        raise (NoRoom if told.get("full") else StartFailed)(why)

    async def _watch(self, worker: Worker) -> str:
        """Until the worker cannot be trusted any more; says why."""
        limits = self.around.limits
        loop = asyncio.get_running_loop()
        answered = looked = loop.time()
        asked: asyncio.Future[dict[str, Any]] | None = None
        done: processes.Work | None = None
        while True:
            if asked is None:
                self._suspect.clear()
                asked = worker.control.ask(b"status")
                looked, done = loop.time(), processes.work(worker.card.pid)
            # Silent for so long, it gets no further requests until it speaks.
            patience = limits.ping_every if self._serving.is_set() else limits.ping - (loop.time() - looked)
            lost_or_asked = (worker.control.lost, asked)
            await asyncio.wait(lost_or_asked, timeout=max(patience, 0.0), return_when=asyncio.FIRST_COMPLETED)
            if worker.control.lost.done():
                return "The worker's process ended; it was replaced."
            if asked.done():
                told = asked.result()
                answered, asked = loop.time(), None
                if self._suspect.is_set():
                    continue  # it may have answered before what made us doubt
                self._serving.set()
                if told.get("stuck"):
                    return f"A request took longer than {limits.request:g} seconds; the worker was replaced."
                if over := self._over_memory(worker.card):
                    return over
                waits = (worker.control.lost, loop.create_task(self._suspect.wait()))
                await asyncio.wait(waits, timeout=limits.ping_every, return_when=asyncio.FIRST_COMPLETED)
                waits[1].cancel()
                continue
            self._serving.clear()
            silent = loop.time() - answered
            if loop.time() - looked >= limits.ping:
                before, done, looked = done, processes.work(worker.card.pid), loop.time()
                idle = done is not None and done.rests_since(before)
                if idle or silent > limits.ping + (limits.request if worker.pool.busy else 0):
                    return f"The worker said nothing for {silent:.0f} seconds; it was replaced."

    def _doubt(self) -> None:
        """The worker may be gone: requests wait until it answers, or until another one does."""
        if self.worker is not None:
            self._serving.clear()
            self._suspect.set()

    def _over_memory(self, card: Card) -> str:
        bound, used = self.spec.memory, processes.memory(card.pid) if self.spec.memory else None
        if bound is None or used is None or used <= bound:
            return ""
        return f"The worker used {used >> 20} MiB of memory, more than the {bound >> 20} MiB it may use."

    async def _drain(self, worker: Worker, patience: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while worker.pool.busy and loop.time() < deadline:  # noqa: ASYNC110 - a count, looked at a few times
            await asyncio.sleep(0.01)

    async def _end(self, worker: Worker) -> None:
        worker.pool.close()
        await self.around.nursery.end(worker.card, polite=not worker.pool.busy)
        worker.control.close()


class Elsewhere(Exception):
    """The release needs another place than the one it was started in."""

    def __init__(self, place: suitable.Place) -> None:
        super().__init__(place.why)
        self.place = place


def _complain(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("a release's task ended", exc_info=task.exception())
