"""`watcher run`."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from watcher import exporting
from watcher.cli.exits import Exit
from watcher.cli.models import chosen
from watcher.cli.session import DEFAULT, Session
from watcher.cli.stopping import stopping
from watcher.cli.tick import told, woken
from watcher.pause import paused
from watcher.ports import Line
from watcher.text import plain
from watcher.views.lines import line_json, line_text

if TYPE_CHECKING:
    from watcher.loop import LocalLoop

Once = Annotated[bool, typer.Option("--once", help="Until nothing is due, as `tick --until-rest`.")]
Page = Annotated[
    str | None,
    typer.Option("--page", metavar="[HOST:]PORT", help="Serve the status page there; by default on 127.0.0.1."),
]
For = Annotated[float | None, typer.Option("--for", min=0.0, metavar="SECONDS", help="Stop after so long.")]

HIGHEST_PORT = 65_535


def run(
    session: Session,
    once: Once = False,  # noqa: FBT002 as typer has it
    for_: For = None,
    page: Page = None,
) -> Exit | None:
    """Watch until Ctrl-C, and show what is done.

    Ctrl-C or SIGTERM ends the steps under way first and leaves what serves serving; a second one ends at once. So does
    a reader of what it shows that goes away.
    """
    from watcher.loop import LocalLoop
    from watcher.registry.errors import place

    running: list[LocalLoop] = []

    def tell(line: Line) -> None:
        if once:
            told(session, line)
            return
        exporting.tell(line)
        if not session.out.report(line_text(line), line_json(line)):
            for loop in running:
                loop.halt()

    session.tell = tell
    exporting.export(os.environ)
    session.app.require_registry()
    if once and page is not None:
        raise typer.BadParameter("--page is served while the watcher runs, so it does not go with --once")
    place_of_page = _place(page) if page is not None else None
    if once:
        return woken(session, chosen(session, None), 1_000, 2.0, rest=True)
    app = session.app
    # A ledger that is no ledger is a reason not to start; one that fails later is waited for.
    paused(app.ledger)
    session.end()
    loop = LocalLoop(app.loop, app.poller(), app.settings.poll, app.watched, app.clock, session.out.warn)
    running.append(loop)
    with stopping(session.out, loop.stop, loop.halt), _ending(loop, for_), _page(session, place_of_page):
        session.out.warn(f"Watching {place(app.settings.registry.uri)}; Ctrl-C stops.")
        loop.run()
    return None


def _place(text: str) -> tuple[str, int]:
    """`8080` or `127.0.0.1:8080`; port 0 is any free one."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > HIGHEST_PORT:
        raise typer.BadParameter(f"--page is {plain(text)!r}; write a port such as 8080, or 127.0.0.1:8080.")
    return host, int(port)


@contextlib.contextmanager
def _page(session: Session, place: tuple[str, int] | None) -> Iterator[None]:
    """Serve the status page meanwhile. Raises UserError where the port cannot be had."""
    if place is None:
        yield
        return
    from watcher.page.app import build
    from watcher.page.serve import names, serving

    watcher = "watcher" if session.config == DEFAULT else f"watcher --config {shlex.quote(str(session.config))}"
    hosts = names(place[0])
    with serving(build(session.app, hosts=hosts, watcher=watcher), *place) as address:
        session.out.warn(f"Status page: {address}")
        if hosts is None:
            session.out.warn("Whoever reaches this address can read the page: it asks for no password.")
        yield


@contextlib.contextmanager
def _ending(loop: LocalLoop, seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, loop.halt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
