"""Listening sockets that outlive the server: the supervisor opens and keeps them, the server borrows them."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from gateway.errors import PORT_TAKEN, Refused

MOST = 64 * 1024


class Sockets:
    """The server's end of the line to its supervisor. One question at a time."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self._asking = asyncio.Lock()

    async def listen(self, host: str, port: int) -> socket.socket:
        """A listening socket on a public port. Raises Refused (409) where it cannot be had."""
        return await self._borrow({"host": host, "port": port})

    async def listen_unix(self, path: str) -> socket.socket:
        """A listening Unix socket that only its owner can connect to."""
        return await self._borrow({"path": path})

    async def close(self, host: str, port: int) -> None:
        """The supervisor need not keep this one any longer."""
        async with self._asking:
            await asyncio.to_thread(self._ask, {"close": True, "host": host, "port": port})

    async def _borrow(self, what: dict[str, Any]) -> socket.socket:
        async with self._asking:
            told, handles = await asyncio.to_thread(self._ask, what)
        if not handles:
            raise Refused(409, str(told.get("error")), PORT_TAKEN)
        found = socket.socket(fileno=handles[0])
        found.setblocking(False)
        return found

    def _ask(self, what: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        self.line.sendall(json.dumps(what).encode() + b"\n")
        data, handles, _, _ = socket.recv_fds(self.line, MOST, 1)
        if not data:
            raise ConnectionResetError("the supervisor is gone")
        return json.loads(data), handles
