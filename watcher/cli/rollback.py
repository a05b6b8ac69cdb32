"""`watcher rollback`."""

from __future__ import annotations

from watcher.cli.exits import Refused
from watcher.cli.models import Model, existing
from watcher.cli.promote import order
from watcher.cli.session import Session
from watcher.text import plain
from watcher.views.orders import back_to


def rollback(session: Session, model: Model) -> None:
    """Order what served before the champion, straight to every target."""
    watched = existing(session, model)
    registry = session.app.registry
    found = back_to(registry.read(watched.name), lambda number: registry.version(watched.name, number))
    if isinstance(found, str):
        raise Refused(
            f"Refused, nothing is done. {found}. Or choose one with `watcher promote {plain(watched.name)} VERSION`."
        )
    order(session, watched, found, "rollback")
