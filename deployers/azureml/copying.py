"""A version's files on their way into the workspace's own store: in slices, each of which goes on where one ended."""

from __future__ import annotations

from collections.abc import Callable

from deployers.azureml.artifacts import FETCHES, Source
from deployers.azureml.store import Store
from watcher.errors import Terminal, UnderWay

PAUSE = 1.0
"""Seconds between two slices."""
MB = 1_000_000


def copy(source: Source, store: Store, folder: str, left: Callable[[], float], most: int | None) -> None:
    """Bring the files into a folder of the store: as many of them, and of their blocks, as the seconds allow.

    What is there already is not sent again, and something is sent in every slice. Raises UnderWay where some is left
    to do, Terminal where the files are more than `most` bytes, Transient where one of them cannot be had now.
    """
    sizes = source.sizes()
    total = sum(sizes.values())
    if most is not None and total > most:
        raise Terminal(
            f"the model's files are {total:,} bytes, and `max_artifacts` of the target allows {most:,}: raise it, or"
            " register the model in the workspace by other means"
        )
    there = store.sizes(folder)
    missing = [path for path in sorted(sizes) if path not in there or sizes[path] not in (0, there[path])]
    counted = _Slice(left, total, total - sum(sizes[path] for path in missing))
    here = source.folder()
    for path in missing:
        file = here / path if here is not None else FETCHES.file(source, path, sizes[path], left())
        if file is None or not store.upload(f"{folder}/{path}", file, counted.go_on):
            raise counted.under_way
        counted.sent(sizes[path])
        if here is None:
            file.unlink(missing_ok=True)
    FETCHES.forget(source)


class _Slice:
    """What was done, in bytes, and whether there is time for more."""

    def __init__(self, left: Callable[[], float], total: int, whole: int) -> None:
        self._left, self._total, self._whole = left, total, whole
        self._part = 0
        self._begun = False

    def sent(self, size: int) -> None:
        """A file of so many bytes is there whole."""
        self._whole, self._part = self._whole + size, 0

    def go_on(self, part: int) -> bool:
        """Whether another block may be sent of a file of which so many bytes are there."""
        self._part = part
        first, self._begun = not self._begun, True
        return first or self._left() > 0

    @property
    def under_way(self) -> UnderWay:
        done = self._whole + self._part
        return UnderWay(
            f"{done / MB:,.0f} of {self._total / MB:,.0f} MB of the model's files are in the workspace", PAUSE
        )
