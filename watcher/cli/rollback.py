"""`watcher rollback`."""

from __future__ import annotations

from watcher.cli.exits import Refused
from watcher.cli.models import Model, existing
from watcher.cli.promote import order
from watcher.cli.session import Session
from watcher.text import plain
from watcher.values import Call, Gone

BAD = {
    Call.ROLLED_BACK: "was rolled back itself",
    Call.DISPLACED: "was displaced by a person's order",
    Call.UNMET: "could not be served when it was ordered",
}


def rollback(session: Session, model: Model) -> None:
    """Order what served before the champion, straight to every target."""
    watched = existing(session, model)
    name = plain(watched.name)
    marks = session.app.registry.read(watched.name)
    instead = f"choose one with `watcher promote {name} VERSION`"
    if marks.challenger is not None and marks.challenger != marks.champion:
        raise Refused(
            f"{name} v{marks.challenger} is being rolled out: `watcher abort {name}` takes it back to the champion"
            f" v{marks.champion}, or {instead}."
        )
    if marks.problem is not None:
        raise Refused(f"Nobody knows what served {name} before: {plain(marks.problem)}; {instead}.")
    previous = marks.crown.previous if marks.crown else None
    if previous is None or previous == marks.champion:
        raise Refused(f"Nothing served {name} before its champion, as far as its crown tag says; {instead}.")
    found = session.app.registry.version(watched.name, previous)
    if isinstance(found, Gone):
        raise Refused(f"{name} v{previous} served before, and does not exist any more; {instead}.")
    if found.call in BAD:
        raise Refused(f"{name} v{previous} served before, and {BAD[found.call]}; {instead}.")
    order(session, watched, found, "rollback")
