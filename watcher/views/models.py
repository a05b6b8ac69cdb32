"""Which models there are to be looked at, and looking at several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from watcher.errors import UserError, WatcherError

if TYPE_CHECKING:
    from watcher.settings import Watched
    from watcher.views.app import App

T = TypeVar("T")
AT_ONCE = 8


@dataclass(frozen=True)
class Found(Generic[T]):
    """What came of one model: an answer, or why there is none."""

    model: str
    answer: T | None
    error: WatcherError | None = None


def named(app: App) -> list[str]:
    """Models that the settings name outright, registered or not."""
    return [rule.name for rule in app.settings.models if rule.name is not None]


def watched_of(app: App, names: Iterable[str]) -> list[Found[Watched]]:
    """Those of the names that are watched, in their order; where the settings contradict themselves, why."""
    found: list[Found[Watched]] = []
    for name in sorted(set(names)):
        try:
            watched = app.watched(name)
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
