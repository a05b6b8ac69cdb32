"""Which deliveries this process has taken already. Another process may take a replay: it is a harmless wake-up."""

from __future__ import annotations

import threading
from collections import OrderedDict

MOST = 10_000


class Seen:
    """Remembers what was taken for some seconds, and never more than `MOST` of it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._taken: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, what: bytes, now: float) -> bool:
        """Whether it is new; from now on it is not."""
        with self._lock:
            while self._taken and (len(self._taken) >= MOST or next(iter(self._taken.values())) < now - self._seconds):
                self._taken.popitem(last=False)
            if what in self._taken:
                return False
            self._taken[what] = now
            return True
