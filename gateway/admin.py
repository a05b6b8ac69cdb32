"""The admin socket: HTTP and JSON for whoever owns this gateway. Every verb may be repeated."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from gateway import wire
from gateway.connection import HttpConnection, Request
from gateway.endpoint import Endpoint
from gateway.errors import NOT_READY, Refused, Unavailable
from gateway.limits import MIB, Limits
from gateway.release import READY, Release
from gateway.upstream import Ask

log = logging.getLogger(__name__)
JSON = b"application/json"


class Gateway(Protocol):
    """What the admin socket asks for."""

    def state(self) -> dict[str, Any]: ...
    def release(self, name: str, release: str) -> Release: ...
    async def put_endpoint(self, name: str, body: Mapping[str, Any]) -> Endpoint: ...
    async def put_release(self, name: str, release: str, body: Mapping[str, Any]) -> Release: ...
    async def put_weights(self, name: str, body: Mapping[str, Any]) -> Endpoint: ...
    async def put_mirror(self, name: str, body: Mapping[str, Any]) -> Endpoint: ...
    async def delete_release(self, name: str, release: str) -> None: ...
    async def delete_endpoint(self, name: str) -> None: ...


class AdminConnection(HttpConnection):
    """One client of the admin socket."""

    def __init__(
        self,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        peers: set[HttpConnection],
        gateway: Gateway,
    ) -> None:
        super().__init__(limits, loop, peers)
        self.gateway = gateway
        self._task: asyncio.Task[None] | None = None

    def begin(self, request: Request) -> None:
        self._task = self.loop.create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            status, body = await self._route(request)
        except Refused as error:
            status, body = error.status, wire.error_body(error.status, error.message, error.code)
        except Exception:
            log.exception("an admin request failed")
            status, body = 500, wire.error_body(500, "The gateway failed; its log tells more.")
        if body is not None and not self.closed:
            self.reply(status, JSON, body)

    async def _route(self, request: Request) -> tuple[int, bytes | None]:
        gateway = self.gateway
        method = request.method.decode("latin-1")
        match (method, *request.path.decode("latin-1").split("/")[1:]):
            case ("GET", "state"):
                return 200, wire.json_body(gateway.state())
            case ("PUT", "endpoints", name):
                return 200, wire.json_body((await gateway.put_endpoint(name, _json(request))).told())
            case ("PUT", "endpoints", name, "weights"):
                return 200, wire.json_body((await gateway.put_weights(name, _json(request))).told())
            case ("PUT", "endpoints", name, "mirror"):
                return 200, wire.json_body((await gateway.put_mirror(name, _json(request))).told())
            case ("PUT", "endpoints", name, "releases", release):
                return 202, wire.json_body((await gateway.put_release(name, release, _json(request))).told())
            case ("DELETE", "endpoints", name):
                await gateway.delete_endpoint(name)
                return 204, b""
            case ("DELETE", "endpoints", name, "releases", release):
                await gateway.delete_release(name, release)
                return 204, b""
            case ("POST", "endpoints", name, "releases", release, "invocations"):
                return await self._probe(gateway.release(name, release), request)
        raise Refused(404, "There is nothing at this path for this method.")

    async def _probe(self, release: Release, request: Request) -> tuple[int, bytes | None]:
        """The release's own answer, head and all; neither counted nor subject to weights."""
        if release.state != READY:
            raise Refused(409, f"The release {release.name} is {release.state}.", NOT_READY)
        kind = request.header(b"content-type") or b"application/json"
        body = request.take()
        head = b"POST /invocations HTTP/1.1\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (kind, len(body))
        try:
            async with asyncio.timeout(self.limits.wait + self.limits.request):
                answer = Ask(await release.linked())
                answered = await answer.send(head + body)
        except (Unavailable, ConnectionError) as error:
            raise Refused(503, str(error)) from error
        except TimeoutError:
            raise Refused(504, "The release did not answer in time.") from None
        self.write(b"%b\r\n%b" % answered)
        self.done()
        return 0, None


def _json(request: Request) -> dict[str, Any]:
    if request.seen > MIB:
        raise Refused(413, "The body is too large.")
    try:
        found = json.loads(request.take())
    except (ValueError, RecursionError):
        raise Refused(400, "The body must be JSON.") from None
    if not isinstance(found, dict):
        raise Refused(400, "The body must be a JSON object.")
    return found
