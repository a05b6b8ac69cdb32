"""`watcher hold` and `watcher release`."""

from __future__ import annotations

from typing import Annotated

import typer

from watcher.cli.asked import carry_out
from watcher.cli.models import Model, existing
from watcher.cli.session import Session
from watcher.text import plain

Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; shown wherever the model waits.")]


def hold(session: Session, model: Model, reason: Reason = "") -> None:
    """Let nothing of a model go forward.

    Its champion is still healed. The hold lasts until `release`.
    """
    watched = existing(session, model)
    text = plain(f"{session.who}: {reason}" if reason else session.who, 900)
    recorded = carry_out(
        session, watched.name, "hold", lambda: session.app.registry.hold(watched.name, text), detail=plain(reason, 500)
    )
    session.out.give({"model": watched.name, "order": "hold", "hold": text, "recorded": recorded})
    session.out.say(f"{plain(watched.name)} is held ({text}); `watcher release {plain(watched.name)}` lets it go on.")


def release(session: Session, model: Model) -> None:
    """Let a held model go on."""
    watched = existing(session, model)
    held = session.app.registry.read(watched.name).hold
    if held is None:
        session.out.give({"model": watched.name, "order": "release", "changed": False})
        session.out.say(f"{plain(watched.name)} is not held.")
        return
    recorded = carry_out(session, watched.name, "release", lambda: session.app.registry.hold(watched.name, None))
    session.out.give({"model": watched.name, "order": "release", "changed": True, "was": held, "recorded": recorded})
    session.out.say(f"{plain(watched.name)} is released; it was held by {plain(held)}.")
