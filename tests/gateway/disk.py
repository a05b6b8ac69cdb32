"""A disk that takes no more, for some processes of this machine: what they may write is bounded, not what there is.

It needs no privileges, reaches processes that run already, and ends when the test says so. The system says `EFBIG`
instead of `ENOSPC`, and refuses to change bytes that are there as well, which a full disk does not.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterable, Iterator


@contextlib.contextmanager
def full(pids: Callable[[], Iterable[int]]) -> Iterator[None]:
    """No process may make a file longer. `pids` is asked at the end again: what was started meanwhile inherited it."""
    _bound(pids(), 0)
    try:
        yield
    finally:
        _bound(pids(), None)


def _bound(pids: Iterable[int], most: int | None) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if most is None else most, hard))
