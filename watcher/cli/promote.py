"""`watcher promote`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.cli.asked import carry_out
from watcher.cli.exits import Refused
from watcher.cli.models import Model, Number, existing, find_version
from watcher.cli.session import Session
from watcher.text import plain
from watcher.values import Call, Mode, Status, Version

if TYPE_CHECKING:
    from watcher.settings import Watched


def promote(session: Session, model: Model, version: Number) -> None:
    """Order a version straight to every target.

    Without verdict and canary: where it cannot be served, every target goes back to what it served before.
    """
    watched = existing(session, model)
    order(session, watched, find_version(session, watched, version), "promote")


def order(session: Session, watched: Watched, version: Version, name: str) -> None:
    """Make a version the champion, by a person's order. Raises Refused for one whose registration is not whole."""
    registry, number = session.app.registry, version.number
    if version.status is not Status.READY:
        state = "failed" if version.status is Status.FAILED else "has not ended"
        raise Refused(f"The registration of {plain(watched.name)} v{number} {state}: it has nothing that could serve.")
    marks = registry.read(watched.name)
    if marks.champion == number and version.call is Call.UNMET:
        # The alias stands already; what stops the order is its tag.
        recorded = carry_out(
            session, watched.name, name, lambda: registry.rejudge(watched.name, number), version=number, alone=True
        )
        said = "is tried again"
    elif marks.champion == number and marks.crown is not None and marks.crown.crowned == number:
        session.out.give({"model": watched.name, "order": name, "version": number, "changed": False})
        session.out.say(f"{plain(watched.name)} v{number} is the champion already.")
        return
    else:
        recorded = carry_out(
            session,
            watched.name,
            name,
            lambda: registry.set_champion(watched.name, number),
            version=number,
            alone=True,
        )
        said = "is ordered to every target; `watcher status` shows how far it is"
    if watched.mode is Mode.ADVISE:
        said = "is marked as champion; its targets stay as they are, because the model is in the mode `advise`"
    session.out.give({"model": watched.name, "order": name, "version": number, "changed": True, "recorded": recorded})
    session.out.say(f"{plain(watched.name)} v{number} {said}.")
