"""Mistakes in the user's file, all of them at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from watcher.errors import UserError
from watcher.text import plain


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: where, and one sentence with the value and the remedy."""

    file: str
    line: int | None
    """Counted from 1, None where the file as a whole is meant."""
    key: str
    """For example `models[0].policy`, empty for the whole file."""
    problem: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(filter(None, (where, self.key, self.problem)))


class ConfigError(UserError):
    """The file cannot be used; its text has one line a mistake, in the order of the file."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.line or 0))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


MOST_NAMES = 12


def did_you_mean(value: object, known: Iterable[str]) -> str:
    """`; did you mean 'binary'?` where something is close, else what there is to choose from."""
    names = sorted(known)
    close = difflib.get_close_matches(str(value), names, 1)
    if close:
        return f"; did you mean {plain(repr(close[0]))}?"
    shown = ", ".join(plain(name, 60) for name in names[:MOST_NAMES])
    return f"; there is {shown}{' …' if len(names) > MOST_NAMES else ''}" if names else "; none is defined"
