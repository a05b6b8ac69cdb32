"""The one error of a job: a sentence for a person, and whose matter it is."""

from __future__ import annotations

VERSION, INPUT, OUTPUT, POINTER, USAGE = "version", "input", "output", "pointer", "usage"


class Stop(Exception):
    """The job, or what it was about to do, cannot go on. `kind` says what has to change for it to go on.

    `passing`: it may be over by itself, as a storage that does not answer.
    """

    def __init__(self, kind: str, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.kind, self.passing = kind, passing
        self.told = False
        """Whether it stands on standard error already."""


def sentence(error: BaseException, most: int = 400) -> str:
    """What went wrong, on one line: the type and the first line of its message."""
    text = " ".join(str(error).split())
    words = text if isinstance(error, Stop) else f"{type(error).__name__}: {text}"
    return words if len(words) <= most else words[: most - 1] + "…"
