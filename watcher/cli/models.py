"""Which models and versions a person means; a name that is not known is answered with those that are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.errors import UserError
from watcher.text import plain
from watcher.values import Gone, Version
from watcher.views.models import Found, named, watched_of

if TYPE_CHECKING:
    from watcher.cli.session import Session
    from watcher.settings import Watched


def number(text: str | int) -> int:
    """A version as it is written on the command line: `3` or `v3`."""
    found = re.fullmatch(r"v?([1-9][0-9]{0,9})", str(text), re.IGNORECASE)
    if not found:
        raise typer.BadParameter(f"{plain(text)!r} is no version; write its number, for example 3.")
    return int(found[1])


Models = Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="By default every watched model.")]
Model = Annotated[str, typer.Argument(metavar="MODEL")]
Number = Annotated[int, typer.Argument(metavar="VERSION", parser=number)]


def find(session: Session, name: str) -> Watched:
    """A watched model. Raises UserError where nothing in the settings watches it, or the registry has none such."""
    watched = session.app.watched(name)
    with session.out.busy("Reading the registry"):
        if watched is not None and (name in named(session.app) or session.app.registry.read(name).exists):
            return watched
        there = list(session.app.registry.names())
    if watched is None and name in there:
        raise UserError(
            f"Model {plain(name)} is not watched: no entry under `models:` in {session.config} names or matches it;"
            f" add one with `name: {plain(name)}`."
        )
    from watcher.config.errors import did_you_mean

    raise UserError(f"The registry has no model {plain(name)!r}{did_you_mean(name, there)}")


def existing(session: Session, name: str) -> Watched:
    """As `find`, and the registry has it."""
    watched = find(session, name)
    if not session.app.registry.read(name).exists:
        from watcher.config.errors import did_you_mean

        raise UserError(
            f"The registry has no model {plain(name)!r}{did_you_mean(name, list(session.app.registry.names()))}"
        )
    return watched


def find_version(session: Session, watched: Watched, version: int) -> Version:
    """One version of a model. Raises UserError where the registry has none such."""
    found: Version | Gone = session.app.registry.version(watched.name, version)
    if isinstance(found, Gone):
        newest = session.app.registry.read(watched.name).newest
        highest = f"its highest is {newest}" if newest else "it has none yet"
        raise UserError(f"Model {plain(watched.name)} has no version {version}; {highest}.")
    return found


def chosen(session: Session, names: Sequence[str] | None) -> list[Found[Watched]]:
    """The named models, or every watched one in the order of their names."""
    if names:
        return [Found(name, find(session, name)) for name in dict.fromkeys(names)]
    with session.out.busy("Reading the registry"):
        return watched_of(session.app, [*session.app.registry.names(), *named(session.app)])
