"""The gateway's line to one worker: asks how things stand, and notices the moment the process is gone."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast


class ControlLink(asyncio.Protocol):
    """Answers come in the order of the questions."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = loop.create_future()
        self._asked: deque[asyncio.Future[dict[str, Any]]] = deque()
        self._buffer = b""

    def ask(self, what: bytes) -> asyncio.Future[dict[str, Any]]:
        """The answer, or ConnectionError where the process ends before."""
        asked: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if self.lost.done():
            asked.set_exception(ConnectionResetError("the worker is gone"))
        else:
            self._asked.append(asked)
            self.transport.write(what + b"\n")
        return asked

    @property
    def silent(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._asked)

    def close(self) -> None:
        self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are not of the class, but of its kind

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        for asked in self._asked:
            if not asked.done():
                asked.set_exception(ConnectionResetError("the worker is gone"))
                asked.exception()  # whoever asked may have stopped waiting
        self._asked.clear()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            asked = self._asked.popleft()
            try:
                told = json.loads(line)
            except ValueError:
                told = {}
            if not asked.done():
                asked.set_result(told if isinstance(told, dict) else {})


async def connect(path: Path, alive: Callable[[], bool]) -> ControlLink:
    """Wait until the worker listens. Raises ConnectionError where it ends before."""
    loop = asyncio.get_running_loop()
    pause = 0.002
    while True:
        try:
            _, link = await loop.create_unix_connection(ControlLink, str(path))
        except OSError:
            if not alive():
                raise ConnectionResetError("the worker is gone") from None
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.05)
        else:
            return link
