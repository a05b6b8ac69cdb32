"""`watcher adopt`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.asked import carry_out
from watcher.cli.exits import Refused
from watcher.cli.models import chosen, existing, find_version, number
from watcher.cli.session import Session
from watcher.errors import Terminal, UserError
from watcher.text import plain
from watcher.values import Target

if TYPE_CHECKING:
    from watcher.settings import Watched

Place = Annotated[
    str, typer.Argument(metavar="TARGET", help="MODEL/TARGET, or the target's name where it is the only one.")
]
Serves = Annotated[int, typer.Option("--version", parser=number, metavar="N", help="The version that it serves now.")]


def adopt(session: Session, target: Place, version: Serves) -> None:
    """Lend a place that serves something already.

    What it serves was not made by the watcher: it is drained at the next rollout, never deleted.
    """
    watched, place = _find(session, target)
    found = find_version(session, watched, version)

    def lend() -> None:
        try:
            session.app.deployer(place.kind).adopt(place, found)
        except Terminal as error:
            raise Refused(f"{plain(place.key)} cannot be adopted: {error}") from error

    recorded = carry_out(
        session,
        watched.name,
        "adopt",
        lend,
        version=version,
        target=place.name,
        alone=True,
    )
    session.out.give(
        {"model": watched.name, "order": "adopt", "target": place.name, "version": version, "recorded": recorded}
    )
    session.out.say(f"{plain(place.key)} is adopted: it serves v{version}.")


def _find(session: Session, name: str) -> tuple[Watched, Target]:
    model, slash, short = name.rpartition("/")
    if slash:
        watched = existing(session, model)
        for target in watched.targets:
            if target.name == short:
                return watched, target
        there = ", ".join(plain(target.name) for target in watched.targets) or "none"
        raise UserError(f"Model {plain(model)} has no target {plain(short)!r}; there is {there}.")
    models = [entry.answer for entry in chosen(session, None) if entry.answer is not None]
    every = [(watched, target) for watched in models for target in watched.targets]
    named = [(watched, target) for watched, target in every if target.name == name]
    if len(named) == 1:
        return named[0]
    keys = ", ".join(plain(target.key) for _, target in (named or every)[:12]) or "none"
    if named:
        raise UserError(f"Several models have a target {plain(name)!r}; write one of {keys}.")
    raise UserError(f"No watched model has a target {plain(name)!r}; there is {keys}.")
