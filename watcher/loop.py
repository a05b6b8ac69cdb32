"""The plain local loop: polls, and wakes several models at once, each of them one step at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from watcher.errors import WatcherError
from watcher.poll import Poller
from watcher.reconcile import Loop, Woken
from watcher.settings import Poll, Watched
from watcher.text import plain

log = logging.getLogger("watcher")

WORKERS = 8
LEDGER_EVERY = 1.0
"""Seconds between two questions to the ledger what is due."""
LONGEST_PAUSE = 60.0


@dataclass
class Trouble:
    """Something that fails again and again: told when it starts and when it ends, with since when."""

    since: float
    count: int = 0


@dataclass
class LocalLoop:
    """Runs until `stop` is set. Nothing here is needed for correctness: a restart starts from the ledger."""

    loop: Loop
    poller: Poller
    poll: Poll
    watched: Callable[[str], Watched | None]
    clock: Callable[[], float]
    tell: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    _wakes: dict[str, float] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _troubles: dict[str, Trouble] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _next: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Poll and wake until stopped; steps under way are finished first."""
        tasks: dict[str, tuple[float, Callable[[], set[str]]]] = {
            "changes": (self.poll.changes, self.poller.changes),
            "marks": (self.poll.marks, self.poller.marks),
            "resync": (self.poll.resync, self.poller.resync),
            "ledger": (LEDGER_EVERY, lambda: self.poller.due(self.clock())),
        }
        with ThreadPoolExecutor(WORKERS, "wake") as pool, ThreadPoolExecutor(len(tasks), "poll") as polls:
            while not self.stop.is_set():
                now = self.clock()
                with self._changed:
                    for name, (every, ask) in tasks.items():
                        if self._next.get(name, 0.0) <= now:
                            self._next[name] = float("inf")
                            polls.submit(self._ask, name, every, ask).add_done_callback(_raise)
                    for model in [m for m, at in self._wakes.items() if at <= now and m not in self._busy]:
                        del self._wakes[model]
                        self._busy.add(model)
                        pool.submit(self._wake, model).add_done_callback(_raise)
                    waiting = [at for m, at in self._wakes.items() if m not in self._busy]
                    soonest = min([*self._next.values(), *waiting, now + LEDGER_EVERY])
                    self._changed.wait(max(soonest - self.clock(), 0.001))

    def halt(self) -> None:
        """Stop after the steps that are under way."""
        self.stop.set()
        with self._changed:
            self._changed.notify_all()

    def _ask(self, name: str, every: float, ask: Callable[[], set[str]]) -> None:
        pause, found = every, set[str]()
        try:
            found = ask()
            self._well(name)
        except WatcherError as error:
            pause = min(every, self._trouble(name, error))
        finally:
            with self._changed:
                now = self.clock()
                self._next[name] = now + pause
                for model in found:
                    self._wakes[model] = min(now, self._wakes.get(model, now))
                self._changed.notify_all()

    def _wake(self, model: str) -> None:
        again: float | None = None
        try:
            watched = self.watched(model)
            if watched is not None:
                again = self._woken(self.loop.wake(watched))
        except WatcherError as error:
            again = self.clock() + self._trouble(model, error)
        finally:
            with self._changed:
                self._busy.discard(model)
                if again is not None:
                    self._wakes[model] = min(again, self._wakes.get(model, again))
                self._changed.notify_all()

    def _woken(self, woken: Woken) -> float | None:
        self._well(woken.model)
        log.debug("%s: %s (%s)", plain(woken.model), woken.step.slot, woken.step.reason)
        return woken.again

    def _trouble(self, what: str, error: WatcherError) -> float:
        """Tell a fault once, and give the seconds until the next try: doubled each time, to a cap."""
        with self._changed:
            trouble = self._troubles.setdefault(what, Trouble(self.clock()))
            trouble.count += 1
        if trouble.count == 1:
            self.tell(f"{plain(what)}: {plain(str(error), 500)} (keeps serving, tries again)")
        pause = min(0.5 * 2.0 ** min(trouble.count - 1, 10), LONGEST_PAUSE)
        return max(pause, getattr(error, "retry_after", None) or 0.0)

    def _well(self, what: str) -> None:
        with self._changed:
            trouble = self._troubles.pop(what, None)
        if trouble is not None:
            lasted = self.clock() - trouble.since
            self.tell(f"{plain(what)}: works again after {lasted:.0f} s and {trouble.count} failed tries")


def _raise(future: Future[None]) -> None:
    """A bug in the loop itself must be loud, not swallowed by the pool."""
    error = future.exception()
    if error is not None:
        log.error("the loop met an error it does not know: %s", error, exc_info=error)
