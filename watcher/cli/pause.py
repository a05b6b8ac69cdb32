"""`watcher pause` and `watcher resume`."""

from __future__ import annotations

from watcher.cli.session import Session
from watcher.pause import set_paused


def pause(session: Session) -> None:
    """Stop everything but observing, until `resume`."""
    _set(session, on=True)


def resume(session: Session) -> None:
    """End the pause."""
    _set(session, on=False)


def _set(session: Session, *, on: bool) -> None:
    changed = set_paused(session.app.ledger, session.who, on, session.app.clock())
    session.out.give({"paused": on, "changed": changed, "who": session.who})
    state = "paused: it observes, and does nothing until `watcher resume`" if on else "running"
    session.out.say(f"The watcher is {state}." if changed else f"The watcher is {state} already.")
