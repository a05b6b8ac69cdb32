"""What the process answers to its caller, and which error gives which answer."""

from __future__ import annotations

from enum import IntEnum

from watcher.errors import Conflict, UserError, WatcherError


class Exit(IntEnum):
    """Exit codes; the top of `--help` names them."""

    OK = 0
    NO = 1
    USAGE = 2
    OUT_OF_REACH = 3
    INTERRUPTED = 130


class Refused(UserError):
    """What was asked makes sense, and the answer is no."""


def exit_of(error: WatcherError) -> Exit:
    """The code for an error that ended a command."""
    if isinstance(error, Refused | Conflict):
        return Exit.NO
    return Exit.USAGE if isinstance(error, UserError) else Exit.OUT_OF_REACH


def kind_of(error: WatcherError) -> str:
    """The error's name in JSON: `refused`, `conflict`, `usage` or `out_of_reach`."""
    if isinstance(error, Refused):
        return "refused"
    if isinstance(error, Conflict):
        return "conflict"
    return "usage" if isinstance(error, UserError) else "out_of_reach"
