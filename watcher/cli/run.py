"""`watcher run`."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.exits import Exit
from watcher.cli.history import line_json, line_text
from watcher.cli.models import chosen
from watcher.cli.session import Session
from watcher.cli.tick import woken
from watcher.ports import Line

if TYPE_CHECKING:
    from watcher.loop import LocalLoop

Once = Annotated[bool, typer.Option("--once", help="Until nothing is due, as `tick --until-rest`.")]
For = Annotated[float | None, typer.Option("--for", min=0.0, metavar="SECONDS", help="Stop after so long.")]


def run(session: Session, once: Once = False, for_: For = None) -> Exit | None:  # noqa: FBT002 as typer has it
    """Watch until Ctrl-C, and show what is done.

    Ctrl-C or SIGTERM ends the steps under way first and leaves what serves serving; a second one ends at once.
    """
    from watcher.loop import LocalLoop
    from watcher.registry.errors import place

    def tell(line: Line) -> None:
        if not once:
            session.out.give(line_json(line))
        session.out.say(line_text(line))

    session.tell = tell
    if once:
        return woken(session, chosen(session, None), 1_000, 2.0, rest=True)
    app = session.app
    # A ledger that is no ledger is a reason not to start; one that fails later is waited for.
    app.ledger.load("#pause")
    session.end()
    loop = LocalLoop(app.loop, app.poller(), app.settings.poll, app.watched, app.clock, session.out.warn)
    with _stopping(session, loop), _ending(loop, for_):
        session.out.warn(f"Watching {place(app.settings.registry.uri)}; Ctrl-C stops.")
        loop.run()
    return None


@contextlib.contextmanager
def _stopping(session: Session, loop: LocalLoop) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        if loop.stop.is_set():
            os._exit(Exit.INTERRUPTED)
        session.out.warn("Stopping after the steps under way; what serves goes on. Ctrl-C again stops at once.")
        loop.halt()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
