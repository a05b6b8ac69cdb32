"""Listening sockets that outlive the server: the supervisor opens and keeps them, the server borrows them."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from gateway.errors import PORT_TAKEN, Refused

MOST = 64 * 1024


def place(host: str, port: int) -> str:
    """What a public port's socket is called."""
    return f"{host}:{port}"


class Sockets:
    """The server's end of the line to its supervisor. One question at a time."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self.held: dict[str, socket.socket] = {}
        """What was borrowed and not given back, as the supervisor calls it: what its successor needs."""
        self._asking = asyncio.Lock()

    async def listen(self, host: str, port: int) -> socket.socket:
        """A listening socket on a public port. Raises Refused (409) where it cannot be had."""
        return await self._borrow(place(host, port), {"host": host, "port": port})

    async def listen_unix(self, path: str) -> socket.socket:
        """A listening Unix socket that only its owner can connect to."""
        return await self._borrow(path, {"path": path})

    async def close(self, host: str, port: int) -> None:
        """The supervisor need not keep this one any longer."""
        held = self.held.pop(place(host, port), None)
        if held is not None:
            held.close()
        async with self._asking:
            await asyncio.to_thread(self._ask, {"close": True, "host": host, "port": port})

    async def _borrow(self, key: str, what: dict[str, Any]) -> socket.socket:
        async with self._asking:
            told, handles = await asyncio.to_thread(self._ask, what)
        if not handles:
            raise Refused(409, str(told.get("error")), PORT_TAKEN)
        found = socket.socket(fileno=handles[0])
        found.setblocking(False)
        self.held.setdefault(key, found.dup())
        return found

    def _ask(self, what: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        self.line.sendall(json.dumps(what).encode() + b"\n")
        data, handles, _, _ = socket.recv_fds(self.line, MOST, 1)
        if not data:
            raise ConnectionResetError("the supervisor is gone")
        return json.loads(data), handles
