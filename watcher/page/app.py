"""The ASGI app: who may ask what, and the way out. Pages and their JSON twins are made of the same values."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher.errors import UserError
from watcher.page import model, overview, past, version
from watcher.page.asked import CARRIED, Links, NotAsked, Query
from watcher.page.known import Memory
from watcher.page.look import Look, style
from watcher.page.orders import Desk
from watcher.text import plain
from watcher.views.jsonable import to_json

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from watcher.settings import Watched
    from watcher.views.app import App

log = logging.getLogger("watcher")

METHODS = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "x-robots-tag": "noindex",
}
Answer = tuple[str, Mapping[str, Any]]
"""The template of a page, and what it shows; without what the look of it adds, also the answer as JSON."""


def build(
    app: App,
    *,
    hosts: frozenset[str] | None = None,
    root_path: str = "",
    watcher: str = "watcher",
    memory: Memory | None = None,
) -> ASGIApp:
    """The page of one settings file.

    `hosts`: names under which it may be asked for, None: any; a name that is not among them may be another site's, made
    to point here. `root_path`: where it is mounted, if the server does not say. `watcher`: how the command line is
    called for these settings. `memory`: what keeps the answers for a few seconds, by default one of its own.
    """
    page = Page(app, memory or Memory(app.clock), Desk(watcher), Look(app.clock))
    pages = {"": page.overview, "model": page.model, "version": page.version, "history": page.history}
    routes = [Route(f"/{path}", page.shown(answer), name=path) for path, answer in pages.items()]
    routes += [Route(f"/api/{path or 'models'}", page.told(answer)) for path, answer in pages.items()]
    routes.append(Route("/page.css", _style))
    inner = Starlette(
        routes=routes, exception_handlers={HTTPException: page.refused, NotAsked: page.mistaken, Exception: page.broken}
    )
    inner.router.redirect_slashes = False
    return Gate(inner, page, hosts, root_path.rstrip("/"))


@dataclass(frozen=True)
class Page:
    """The questions that can be asked. Runs in threads: looking may wait."""

    app: App
    memory: Memory
    desk: Desk
    look: Look

    def overview(self, query: Query) -> Answer:
        number, wanted = query.number("page", 1, 1_000_000), query.text("find") or ""
        return "overview.html", overview.overview(self.app, self.memory, number, wanted)

    def model(self, query: Query) -> Answer:
        name = query.needed("name", "model?name=churn")
        found = model.model(self.app, self.memory, self._watched(name), self.desk)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"The registry has no model {plain(name)!r}.")
        return "model.html", found

    def version(self, query: Query) -> Answer:
        name, number = query.needed("model", "version?model=churn&version=3"), query.number("version")
        found = version.version(self.app, self.memory, self._watched(name), number, self.desk)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"Model {plain(name)!r} has no version {number}.")
        return "version.html", found

    def history(self, query: Query) -> Answer:
        now = self.app.clock()
        asked = past.Asked(
            query.text("model"), query.event(), query.moment("until", now), query.skip(), query.moment("at", now)
        )
        if asked.at is not None and asked.model is None:
            raise NotAsked("What was live at a moment is told of one model; the address names none.")
        try:
            watched = self.app.watched(asked.model) if asked.model else None
        except UserError:
            watched = None
        return "history.html", past.history(self.app, self.memory, asked, watched)

    def shown(self, answer: Callable[[Query], Answer]) -> Callable[[Request], Response]:
        """The answer as a page."""

        def endpoint(request: Request) -> Response:
            query = Query.of(request.scope["query_string"])
            template, values = answer(query)
            return self._page(request, template, values, query)

        return endpoint

    def told(self, answer: Callable[[Query], Answer]) -> Callable[[Request], Response]:
        """The answer as JSON."""

        def endpoint(request: Request) -> Response:
            return _json(answer(Query.of(request.scope["query_string"]))[1])

        return endpoint

    def refused(self, request: Request, error: Exception) -> Response:
        code = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.BAD_REQUEST
        detail = str(getattr(error, "detail", error))
        if detail == code.phrase and code is HTTPStatus.NOT_FOUND:
            detail = f"There is no page {plain(request.scope['path'])!r}."
        return self.error(request, code, detail)

    def mistaken(self, request: Request, error: Exception) -> Response:
        return self.error(request, HTTPStatus.BAD_REQUEST, str(error))

    def broken(self, request: Request, error: Exception) -> Response:
        """A bug; the server logs its traceback."""
        said = "The page met an error that it does not know. It is in the watcher's log."
        return self.error(request, HTTPStatus.INTERNAL_SERVER_ERROR, said)

    def error(self, request: Request, code: HTTPStatus, detail: str) -> Response:
        """One sentence, as a page or as JSON, as it was asked for."""
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        if path.startswith("/api/"):
            return _json({"error": {"status": int(code), "message": plain(detail, 1_000)}}, code)
        try:
            query = Query.of(request.scope["query_string"])
        except NotAsked:
            query = Query({})
        return self._page(
            request, "error.html", {"status": int(code), "title": code.phrase, "said": detail}, query, code
        )

    def _watched(self, name: str) -> Watched:
        try:
            watched = self.app.watched(name)
        except UserError as error:
            raise HTTPException(HTTPStatus.CONFLICT, plain(error, 1_000)) from error
        if watched is None:
            said = (
                f"Model {plain(name)!r} is not watched: no entry under `models:` in the settings names or matches it."
            )
            raise HTTPException(HTTPStatus.NOT_FOUND, said)
        return watched

    def _page(
        self, request: Request, template: str, values: Mapping[str, Any], query: Query, code: HTTPStatus = HTTPStatus.OK
    ) -> Response:
        carried = {name: query.values[name] for name in CARRIED if query.text(name)}
        links = Links(request.scope.get("root_path", ""), carried)
        asked = {name: value for name, value in query.values.items() if name not in CARRIED}
        here = request.scope["path"].removeprefix(request.scope.get("root_path", "")).removeprefix("/")
        text = self.look.page(template, values, links, here, asked)
        return Response(text, code, media_type="text/html")


def _json(value: Any, code: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(to_json(value) + "\n", code, media_type="application/json")


def _style(_: Request) -> Response:
    return Response(style(), media_type="text/css")


@dataclass(frozen=True)
class Gate:
    """Who may ask and how, before anything is looked at; and the headers of every answer."""

    inner: Starlette
    page: Page
    hosts: frozenset[str] | None
    root_path: str
    own: Mapping[str, str] = field(default_factory=lambda: HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        root = scope.get("root_path") or self.root_path
        path = scope["path"]
        # A server that mounts the app without saying so leaves the mount in the path, or takes it away.
        if root and not path.startswith(f"{root}/"):
            path = f"{root}/" if path == root else root + path
        scope = {**scope, "root_path": root, "path": path}
        request, headless = Request(scope), scope["method"] == "HEAD"

        async def out(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in self.own.items()]
                message = {**message, "headers": [*message["headers"], *ours]}
            elif headless and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        if self.hosts is not None and _host(request.headers.get("host", "")) not in self.hosts:
            said = "The page is not served under this name; ask for it by the address that the watcher printed."
            await self.page.error(request, HTTPStatus.MISDIRECTED_REQUEST, said)(scope, receive, out)
        elif scope["method"] not in METHODS:
            said = "The page is read only. Orders are given on the command line, or as marks in the registry."
            refusal = self.page.error(request, HTTPStatus.METHOD_NOT_ALLOWED, said)
            refusal.headers["allow"] = ", ".join(METHODS)
            await refusal(scope, receive, out)
        else:
            await self.inner(scope, receive, out)


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0].removeprefix("[").lower()
    return header.partition(":")[0].lower()
