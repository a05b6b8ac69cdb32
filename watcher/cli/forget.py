"""`watcher forget`."""

from __future__ import annotations

from typing import Annotated

import typer

from watcher.cli.asked import carry_out
from watcher.cli.exits import Refused
from watcher.cli.models import Model
from watcher.cli.session import Session
from watcher.errors import UserError
from watcher.record import from_json, key_of, left_behind, without_target
from watcher.text import plain
from watcher.views.show import record_of

Left = Annotated[str, typer.Argument(metavar="TARGET", help="A target that the settings no longer name.")]


def forget(session: Session, model: Model, target: Left) -> None:
    """Say no more of a target that the settings no longer name.

    Nothing is stopped: do that by hand first, for what serves there goes on.
    """
    watched = session.app.watched(model)
    named = [place.name for place in watched.targets] if watched else []
    if target in named:
        raise Refused(f"{plain(model)}/{plain(target)} is in the settings: take it out there first.")
    left = left_behind(record_of(session.app, model), named)
    if target not in left:
        there = ", ".join(map(plain, left)) or "none"
        raise UserError(f"Nothing is remembered of a target {plain(target)!r} of {plain(model)}; there is {there}.")

    def drop() -> None:
        ledger, key = session.app.ledger, key_of(model)
        stored = ledger.load(key)
        if stored is not None:
            without = without_target(from_json(stored.body), target)
            ledger.save(key, without.to_json(), stored.revision, due=session.app.clock())

    recorded = carry_out(session, model, "forget", drop, target=target, alone=True)
    session.out.give({"model": model, "order": "forget", "target": target, "recorded": recorded})
    session.out.say(f"{plain(model)}/{plain(target)} is forgotten.")
