"""Asking an ASGI app without a server."""

from __future__ import annotations

import asyncio
import html
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode

from watcher.page.app import build
from watcher.page.known import Memory

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

    from tests.page.house import House


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def said(self) -> str:
        """The text of the page as it is read, without its tags."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.text.partition("<main")[2])).split())


def ask(
    app: ASGIApp,
    path: str,
    *,
    method: str = "GET",
    host: str = "localhost",
    root_path: str = "",
    raw: str | None = None,
    **query: object,
) -> Answer:
    """One request. `raw`: the query string as it is, instead of `query`."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": (raw if raw is not None else urlencode(query, errors="surrogatepass")).encode("latin-1"),
        "root_path": root_path,
        "headers": [(b"host", host.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async def whole() -> None:
        await app(scope, receive, send)

    asyncio.run(whole())
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))


def page_of(house: House, patience: float = 3.0, **about: Any) -> ASGIApp:
    """The page of a house; what it remembers ages with the house's clock."""
    return build(house, memory=Memory(house.clock, patience, timer=house.clock), **about)
