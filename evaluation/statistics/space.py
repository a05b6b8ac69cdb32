"""Where arrays lie that have a number for each row: in memory, or where a caller with many rows wants them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Space(Protocol):
    """Gives (rows, *more) to write to."""

    def __call__(self, rows: int, kind: np.dtype[Any], *more: int) -> npt.NDArray[Any]: ...


def _memory(rows: int, kind: np.dtype[Any], *more: int) -> npt.NDArray[Any]:
    return np.empty((rows, *more), kind)


_SPACE: ContextVar[Space] = ContextVar("space", default=_memory)


@contextlib.contextmanager
def lying_in(space: Space) -> Iterator[None]:
    """Use this for arrays as long as the rows, while this lasts, in this thread."""
    before = _SPACE.set(space)
    try:
        yield
    finally:
        _SPACE.reset(before)


def empty(rows: int, kind: npt.DTypeLike, *more: int) -> npt.NDArray[Any]:
    """(rows, *more) of whatever was there."""
    return _SPACE.get()(rows, np.dtype(kind), *more)
