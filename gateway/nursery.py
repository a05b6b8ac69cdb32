"""Where workers come from: forked from the zygote, or started as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway import processes
from gateway.errors import NoRoom, StartFailed
from gateway.files import is_full, last_line, write_json
from gateway.limits import Limits
from gateway.paths import Home
from gateway.worker import Order
from gateway.zygote import NONCE

log = logging.getLogger(__name__)
START = 120.0
"""Seconds that the zygote may import and rehearse."""
PAUSE = 5.0
"""Seconds between tries of a zygote that does not start."""


class Nursery:
    """Keeps a zygote running and asks it for workers."""

    def __init__(self, home: Home, limits: Limits) -> None:
        self.home = home
        self.limits = limits
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        """Processes started from here, by nonce, so that they are reaped."""
        self._ready = asyncio.Event()
        self._known = asyncio.Event()
        """Whether there is a zygote, or it is clear that there is none for now."""
        self._asks: set[asyncio.Task[dict[str, Any]]] = set()
        self._why = ""
        self._asking = asyncio.Lock()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._keep())

    def let_go(self) -> None:
        """Leave the zygote to another server."""
        if self._task is not None:
            self._task.cancel()

    async def stop(self) -> None:
        """End the zygote; workers are no business of this."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._disconnect()
        card = processes.read(processes.path_of(self.home.run, NONCE))
        if card is not None:
            await self.end(card)

    async def fork(self, order: Order, patience: float) -> processes.Card:
        """A worker forked from the zygote, which may be starting right now.

        Raises StartFailed where there is none after `patience` seconds, or where it cannot fork.
        """
        try:
            async with asyncio.timeout(patience):
                while True:
                    await self._known.wait()
                    if not self._ready.is_set():
                        break
                    try:
                        told = await self._asked(asdict(order))
                    except (OSError, ValueError):
                        self._disconnect()
                        continue
                    if told.get("error"):
                        raise _not_started(str(told["error"]), full=bool(told.get("full")))
                    return self._card(order, told["pid"], told["started"])
        except TimeoutError:
            pass
        why = self._why or "it takes too long"
        raise StartFailed(f"The process that releases are forked from does not start: {why}")

    async def settled(self) -> None:
        """Wait until every worker that was asked for has its card, whoever stopped waiting for it."""
        if self._asks:
            await asyncio.wait(self._asks)

    async def _asked(self, what: dict[str, Any]) -> dict[str, Any]:
        """As `_ask`, to its end even where the caller is cancelled: the next answer must not be taken for this one."""
        task = asyncio.get_running_loop().create_task(self._ask(what))
        self._asks.add(task)
        task.add_done_callback(self._asks.discard)
        return await asyncio.shield(task)

    def spawn(self, order: Order, python: str | None) -> processes.Card:
        """A worker in a process of its own, with another interpreter where one is named. Raises StartFailed."""
        env = dict(os.environ)
        paths = [str(self.home.code)]
        if python is None and env.get("PYTHONPATH"):
            paths.append(env["PYTHONPATH"])
        env["PYTHONPATH"] = os.pathsep.join(paths)
        if python is not None:
            env.pop("VIRTUAL_ENV", None)
            env.pop("PYTHONHOME", None)
        told = self.home.run / f"{order.nonce}.order"
        try:
            write_json(told, asdict(order))
            process = self._popen([python or sys.executable, "-m", "gateway.worker", str(told)], env, order.log)
            card = self._card(order, process.pid, processes.started(process.pid) or "")
            self._carded(process, card)
        except OSError as error:
            processes.remove(self.home.run, order.nonce)
            raise _not_started(error.strerror or type(error).__name__, full=is_full(error)) from error
        return card

    def _carded(self, process: subprocess.Popen[bytes], card: processes.Card) -> None:
        """The process is known from here on, or ended: without a card it would be nobody's."""
        try:
            processes.write(self.home.run, card)
        except OSError:
            process.kill()
            process.wait()
            raise
        self.children[card.nonce] = process

    async def end(self, card: processes.Card, *, polite: bool = True) -> None:
        """End one process and forget it; takes at most `limits.stop` seconds and a little."""
        loop = asyncio.get_running_loop()
        for number, patience in ((signal.SIGTERM, self.limits.stop if polite else 0), (signal.SIGKILL, 5.0)):
            if patience:
                processes.send(card, number)
            deadline = loop.time() + patience
            while self.alive(card) and loop.time() < deadline:  # noqa: ASYNC110 - not our child, so no event
                await asyncio.sleep(0.005)
        processes.remove(self.home.run, card.nonce)
        child = self.children.pop(card.nonce, None)
        if child is not None:
            child.poll()

    def alive(self, card: processes.Card) -> bool:
        child = self.children.get(card.nonce)
        if child is not None and child.poll() is not None:
            return False
        return processes.alive(card)

    @staticmethod
    def _card(order: Order, pid: int, started: str) -> processes.Card:
        return processes.Card(pid, started, order.nonce, order.endpoint, order.release, order.key)

    async def _keep(self) -> None:
        """See to it that there is a zygote: take over one that runs, else start one, and again when it ends."""
        while True:
            if not await self._connect():
                await self._start()
            reader = self._reader
            if reader is not None and self._ready.is_set():
                while not reader.at_eof() and self._ready.is_set():  # noqa: ASYNC110 - the stream has no event for it
                    await asyncio.sleep(0.05)
                log.warning("the zygote is gone, starting another")
                self._disconnect()
            else:
                log.error("the zygote does not start: %s", self._why)
                self._known.set()
                await asyncio.sleep(PAUSE)

    async def _connect(self) -> bool:
        card = processes.read(processes.path_of(self.home.run, NONCE))
        if card is None or not processes.alive(card):
            return False
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(str(self.home.zygote))
            told = await asyncio.wait_for(self._ask({"hello": True}), self.limits.ping)
        except (OSError, ValueError, TimeoutError):
            self._disconnect()
            return False
        if told.get("pid") != card.pid:
            self._disconnect()
            return False
        self._why = ""
        self._ready.set()
        self._known.set()
        return True

    async def _start(self) -> None:
        card = processes.read(processes.path_of(self.home.run, NONCE))
        if card is not None:
            await self.end(card, polite=False)
        env = dict(os.environ)
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(self.home.code), env.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "gateway.zygote", str(self.home.path)]
        try:
            process = self._popen(command, env, str(self.home.log))
            self._carded(process, processes.Card(process.pid, processes.started(process.pid) or "", NONCE))
        except OSError as error:
            self._why = str(error.strerror)
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START
        while process.poll() is None and loop.time() < deadline:
            if self.home.zygote.exists() and await self._connect():
                return
            await asyncio.sleep(0.02)
        self._why = last_line(self.home.log) if process.poll() is not None else "it takes too long"
        process.kill()

    def _disconnect(self) -> None:
        self._ready.clear()
        if not self._why:
            self._known.clear()
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        async with self._asking:
            if self._writer is None or self._reader is None:
                raise ConnectionError("no zygote")
            self._writer.write(json.dumps(what).encode() + b"\n")
            line = await self._reader.readline()
            if not line:
                raise ConnectionError("the zygote ended")
            told = json.loads(line)
            if not isinstance(told, dict):
                raise ConnectionError("the zygote answered nonsense")
            return told

    @staticmethod
    def _popen(command: list[str], env: dict[str, str], log_path: str) -> subprocess.Popen[bytes]:
        with Path(log_path).open("ab") as out:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, start_new_session=True
            )


def _not_started(why: str, *, full: bool) -> StartFailed:
    return NoRoom(why) if full else StartFailed(f"The worker's process does not start: {why}")
