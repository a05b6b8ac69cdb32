"""`watcher history`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from watcher.cli.exits import Exit
from watcher.cli.models import find
from watcher.cli.session import Session
from watcher.cli.several import lines_of
from watcher.ports import Line
from watcher.sentences import stamp
from watcher.text import plain
from watcher.views.lines import line_json, line_text, live_json, share
from watcher.views.times import moment

EVERY = 1.0
"""Seconds between two looks for new lines."""
AT_A_LOOK = 1_000

At = Annotated[
    str | None, typer.Option(metavar="TIME", help="What was live where at that moment, and why: 2026-03-01T14:30, 2h.")
]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Only what happened since then.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only what happened until then.")]
Most = Annotated[int, typer.Option(min=1, help="At most so many lines, the newest.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with each new line until Ctrl-C.")]
Name = Annotated[str | None, typer.Argument(metavar="MODEL", help="By default every model.")]


def history(
    session: Session,
    model: Name = None,
    at: At = None,
    since: Since = None,
    until: Until = None,
    most: Most = 50,
    follow: Follow = False,  # noqa: FBT002 as typer has it
) -> Exit:
    """Show what was done, where, when and why.

    Oldest first. With --at: what was live where at that moment, and why.
    """
    if at is not None:
        if model is None or since or until or follow:
            raise typer.BadParameter("--at takes a MODEL, and none of --since, --until and --follow")
        return _live(session, model, at)
    if follow and (until is not None):
        raise typer.BadParameter("--follow does not end, so it takes no --until")
    now = session.app.clock()
    first, last = (moment(text, now) if text else None for text in (since, until))
    with session.out.busy("Reading the history"):
        lines = [*session.app.ledger.history(model, until=last, since=first, most=most)][::-1]
    if not lines and model is not None:
        known = session.app.ledger.history(model, most=1)
        if not known and not follow:
            find(session, model)
    if follow:
        return _follow(session, model, lines)
    session.out.give([line_json(line) for line in lines])
    for line in lines:
        session.out.say(line_text(line))
    if not lines:
        session.out.say("Nothing happened." if first or last else "Nothing has happened yet.")
    return Exit.OK


def _follow(session: Session, model: str | None, lines: Sequence[Line]) -> Exit:
    since = lines[-1].at if lines else session.app.clock()
    seen = [line for line in session.app.ledger.history(model, since=since, most=AT_A_LOOK) if line not in lines]
    fresh = [*lines, *seen[::-1]]
    while True:
        for line in fresh:
            session.out.give(line_json(line))
            session.out.say(line_text(line))
        # Lines of the very moment of the last one are read again, and told apart from those that were told.
        told = [line for line in (*lines, *fresh) if line.at >= since]
        since = max([since, *(line.at for line in fresh)])
        lines = [line for line in told if line.at >= since]
        session.pause(EVERY)
        found = session.app.ledger.history(model, since=since, most=AT_A_LOOK, newest_first=False)
        fresh = [line for line in found if line not in lines]


def _live(session: Session, model: str, text: str) -> Exit:
    from watcher.history import read_live

    at = moment(text, session.app.clock())
    watched = session.app.watched(model)
    targets = [target.name for target in watched.targets] if watched else []
    with session.out.busy("Reading the history"):
        live = read_live(session.app.ledger, model, at, targets)
    if not live and not session.app.ledger.history(model, most=1):
        find(session, model)
    session.out.give({"model": model, "at": at, "time": stamp(at), "live": live_json(live)})
    session.out.say(f"{plain(model)} at {stamp(at)}:")
    for name, entry in live.items():
        shares = ", ".join(share(version, percent) for version, percent in sorted(entry.weights.items()))
        session.out.say(f"  {plain(name)}: {shares or 'nothing'}, since {stamp(entry.since)}")
        lines_of(session, [("why", line_text(line)) for line in (entry.line, *entry.because)])
    if not live:
        session.out.say("  Nothing that the history knows of.")
    return Exit.OK
