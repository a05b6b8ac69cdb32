"""`watcher abort`."""

from __future__ import annotations

from watcher.cli.asked import carry_out
from watcher.cli.exits import Refused
from watcher.cli.models import Model, existing
from watcher.cli.session import Session
from watcher.text import plain


def abort(session: Session, model: Model) -> None:
    """End a rollout: every target goes back to the champion."""
    watched = existing(session, model)
    registry = session.app.registry
    challenger = registry.read(watched.name).challenger
    if challenger is None:
        raise Refused(f"Nothing of {plain(watched.name)} is being rolled out.")

    def remove() -> None:
        marks = registry.read(watched.name)
        if marks.challenger == challenger:
            registry.challenge(watched.name, None, marks)

    recorded = carry_out(session, watched.name, "abort", remove, version=challenger, alone=True)
    session.out.give({"model": watched.name, "order": "abort", "version": challenger, "recorded": recorded})
    session.out.say(f"The rollout of {plain(watched.name)} v{challenger} is aborted; the targets go back.")
