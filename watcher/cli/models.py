"""Which models and versions a person means; a name that is not known is answered with those that are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

import typer

from watcher.errors import UserError, WatcherError
from watcher.text import plain
from watcher.values import Gone, Version

if TYPE_CHECKING:
    from watcher.cli.session import Session
    from watcher.settings import Watched

T = TypeVar("T")
AT_ONCE = 8


def number(text: str | int) -> int:
    """A version as it is written on the command line: `3` or `v3`."""
    found = re.fullmatch(r"v?([1-9][0-9]{0,9})", str(text), re.IGNORECASE)
    if not found:
        raise typer.BadParameter(f"{plain(text)!r} is no version; write its number, for example 3.")
    return int(found[1])


Models = Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="By default every watched model.")]
Model = Annotated[str, typer.Argument(metavar="MODEL")]
Number = Annotated[int, typer.Argument(metavar="VERSION", parser=number)]


@dataclass(frozen=True)
class Found(Generic[T]):
    """What came of one model: an answer, or why there is none."""

    model: str
    answer: T | None
    error: WatcherError | None = None


def find(session: Session, name: str) -> Watched:
    """A watched model. Raises UserError where nothing in the settings watches it, or the registry has none such."""
    watched = session.app.watched(name)
    with session.out.busy("Reading the registry"):
        if watched is not None and (name in _named(session) or session.app.registry.read(name).exists):
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
        there = set(session.app.registry.names()) | set(_named(session))
    found: list[Found[Watched]] = []
    for name in sorted(there):
        try:
            watched = session.app.watched(name)
        except UserError as error:
            found.append(Found(name, None, error))
        else:
            found += [Found(name, watched)] if watched is not None else []
    return found


def each(found: Sequence[Found[Watched]], ask: Callable[[Watched], T]) -> list[Found[T]]:
    """Ask about several models at once; one that fails does not keep the others from being answered."""

    def one(entry: Found[Watched]) -> Found[T]:
        if entry.answer is None:
            return Found(entry.model, None, entry.error)
        try:
            return Found(entry.model, ask(entry.answer))
        except WatcherError as error:
            return Found(entry.model, None, error)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, found))


def _named(session: Session) -> list[str]:
    return [rule.name for rule in session.app.settings.models if rule.name is not None]
