"""The versions that a stream holds in memory: the one it scores with, and the one that it is about to."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from scoring.errors import Stop
from scoring.pointer import Release


class Loaded(Protocol):
    """A version that is ready to score."""

    release: Release


T = TypeVar("T", bound=Loaded)


class Models(Generic[T]):
    """Loads in the background, so that rows are scored with the one before for as long as the next one loads."""

    def __init__(self, load: Callable[[Release], T]) -> None:
        self._load = load
        self._pool = ThreadPoolExecutor(1, "load")
        self._held: dict[Release, Future[T]] = {}

    def keep(self, *releases: Release | None) -> None:
        """Forget every other one."""
        self._held = {release: held for release, held in self._held.items() if release in releases}

    def begin(self, release: Release) -> Future[T]:
        """Load it, unless that was begun before."""
        held = self._held.get(release)
        if held is None:
            held = self._held[release] = self._pool.submit(self._load, release)
        return held

    def get(self, release: Release, patience: float) -> T | None:
        """The loaded version, None while it takes longer than `patience` seconds.

        Raises Stop where it does not load; asked again, it tries again.
        """
        try:
            return self.begin(release).result(patience)
        except TimeoutError:
            return None
        except Stop:
            del self._held[release]
            raise

    def close(self) -> None:
        """Load nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
