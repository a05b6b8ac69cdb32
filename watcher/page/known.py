"""What was read last, and since when it cannot be read: a view costs little, waits little, shows what there is."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from watcher.errors import WatcherError
from watcher.text import plain

FRESH = 5.0
"""Seconds for which an answer is shown again without another look."""
SHARE = 10.0
"""A look that took long is not repeated for this many times as long: looking takes a tenth of the time at most."""
PATIENCE = 3.0
"""Seconds that a view waits for looks under way; then it shows what was known before."""
MOST = 500
AT_ONCE = 16
"""Looks under way; where so many hang, another is not begun."""


@dataclass(frozen=True, slots=True)
class Known:
    """The last answer to a question, and what keeps a newer one away."""

    value: Any = None
    at: float | None = None
    """When `value` was read, None where nothing ever was."""
    problem: str | None = None
    since: float | None = None
    """Since when there has been a problem."""


@dataclass
class _Entry:
    known: Known = field(default_factory=Known)
    looked: float = float("-inf")
    """When the last look ended, and how long it took, by the monotonic clock."""
    took: float = 0.0
    bug: Exception | None = None
    running: threading.Event | None = None


class Memory:
    """Answers by key. One look at a time for each key, in a thread of its own; whoever asks meanwhile shares it."""

    def __init__(
        self, clock: Callable[[], float], patience: float = PATIENCE, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._patience, self._timer = clock, patience, timer
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._under_way = 0

    def ask(self, questions: Mapping[Hashable, Callable[[], Any]]) -> list[Known]:
        """The answers in the order of the questions, after `patience` seconds at most. A bug in a look is raised."""
        until = time.monotonic() + self._patience
        entries = [self._begin(key, look) for key, look in questions.items()]
        return [self._end(entry, until) for entry in entries]

    def _begin(self, key: Hashable, look: Callable[[], Any]) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            for old in [k for k, e in self._entries.items() if e.running is None][: len(self._entries) - MOST]:
                del self._entries[old]
            age = self._timer() - entry.looked
            if entry.running is None and age > max(FRESH, SHARE * entry.took) and self._under_way < AT_ONCE:
                entry.running = threading.Event()
                self._under_way += 1
                # A daemon: a look that hangs must not keep the process from ending.
                threading.Thread(target=self._look, args=(entry, entry.running, look), daemon=True).start()
            return entry

    def _look(self, entry: _Entry, running: threading.Event, look: Callable[[], Any]) -> None:
        begun, before, bug = self._timer(), entry.known, None
        try:
            known = Known(look(), self._clock())
        except WatcherError as error:
            since = before.since if before.since is not None else self._clock()
            known = Known(before.value, before.at, plain(error, 500), since)
        except Exception as error:  # noqa: BLE001 - raised where somebody waits for the answer
            known, bug = before, error
        with self._lock:
            entry.known, entry.bug, entry.running = known, bug, None
            entry.looked = self._timer()
            entry.took = entry.looked - begun
            self._under_way -= 1
        running.set()

    def _end(self, entry: _Entry, until: float) -> Known:
        running = entry.running
        if running is not None:
            running.wait(max(until - time.monotonic(), 0.0))
        with self._lock:
            known, bug, late = entry.known, entry.bug, entry.running is not None
            never = not late and entry.looked == float("-inf")
        if bug is not None:
            raise bug
        if late or never:
            why = "too many other looks are under way" if never else f"no answer within {self._patience:g} s"
            since = known.since if known.since is not None else self._clock()
            return Known(known.value, known.at, known.problem or why, since)
        return known
