"""The plain local loop: polls, and wakes several models at once, each of them one step at a time."""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from watcher import telemetry
from watcher.errors import WatcherError
from watcher.pause import Pause, last
from watcher.poll import Poller
from watcher.reconcile import Loop, Woken
from watcher.sentences import render, stamp
from watcher.settings import Poll, Watched
from watcher.text import plain, secret_values, without_secrets

log = logging.getLogger("watcher")

WORKERS = 8
LEDGER_EVERY = 1.0
"""Seconds between two questions to the ledger what is due."""
LONGEST_PAUSE = 60.0
POLL, MODEL = "poll", "model"
"""What a trouble is about; a model may have the name of a poll."""


@dataclass
class Trouble:
    """Something that fails again and again: told when it starts and when it ends, with since when."""

    since: float
    count: int = 0
    until: float = 0.0
    """When it is tried again; being found by a poll meanwhile does not bring that forward."""
    words: str = ""
    told: bool = False
    """Whether it was told, as what everything else that met the same did not have to say again."""


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
    _troubles: dict[tuple[str, str], Trouble] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _next: dict[str, float] = field(default_factory=dict)
    _said: Pause | None = None

    def run(self) -> None:
        """Poll and wake until stopped; steps under way are finished first."""
        tasks: dict[str, tuple[float, Callable[[], set[str]]]] = {
            "changes": (self.poll.changes, self.poller.changes),
            "marks": (self.poll.marks, self.poller.marks),
            "resync": (self.poll.resync, self.poller.resync),
            "ledger": (LEDGER_EVERY, self._due),
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

    def _due(self) -> set[str]:
        """What the ledger has due; and that a person paused or resumed, once."""
        said = last(self.poller.ledger)
        if said != self._said and (said.on or self._said is not None):
            self.tell(render(said.line))
        self._said = said
        return self.poller.due(self.clock())

    def _ask(self, name: str, every: float, ask: Callable[[], set[str]]) -> None:
        pause, found = every, set[str]()
        try:
            found = ask()
            self._well(POLL, name)
            telemetry.tick(name, ok=True)
        except WatcherError as error:
            telemetry.tick(name, ok=False)
            pause = self._trouble(POLL, name, error, most=every)
        except Exception as error:
            pause = self._trouble(POLL, name, error)
            raise
        finally:
            with self._changed:
                now = self.clock()
                self._next[name] = now + pause
                for model in found:
                    self._found(model, now)
                self._changed.notify_all()

    def _found(self, model: str, now: float) -> None:
        """Wake a model now, or when its trouble lets it. Only under the lock."""
        trouble = self._troubles.get((MODEL, model))
        at = max(now, trouble.until) if trouble else now
        self._wakes[model] = min(at, self._wakes.get(model, at))

    def _wake(self, model: str) -> None:
        again: float | None = None
        try:
            # Of what was waiting for a thread when the loop was stopped, nothing is begun.
            watched = None if self.stop.is_set() else self.watched(model)
            if watched is not None:
                again = self._woken(self.loop.wake(watched))
            else:
                self._forget(model)
        except WatcherError as error:
            again = self.clock() + self._trouble(MODEL, model, error)
        except Exception as error:
            again = self.clock() + self._trouble(MODEL, model, error)
            raise
        finally:
            with self._changed:
                self._busy.discard(model)
                if again is not None:
                    self._wakes[model] = min(again, self._wakes.get(model, again))
                self._changed.notify_all()

    def _woken(self, woken: Woken) -> float | None:
        self._well(MODEL, woken.model)
        log.debug("%s: %s (%s)", plain(woken.model), woken.step.slot, woken.step.reason)
        return woken.again

    def _trouble(self, kind: str, name: str, error: Exception, most: float = LONGEST_PAUSE) -> float:
        """Tell a fault once, whoever meets it, and give the seconds until the next try: doubled each time, to a cap."""
        with self._changed:
            trouble = self._troubles.setdefault((kind, name), Trouble(self.clock()))
            trouble.count += 1
            doubled = min(0.5 * 2.0 ** min(trouble.count - 1, 10), LONGEST_PAUSE, most)
            pause = max(doubled, getattr(error, "retry_after", None) or 0.0)
            trouble.until = self.clock() + pause
            trouble.words = plain(str(error), 500)
            known = any(other.told and other.words == trouble.words for other in self._troubles.values())
            telling = trouble.count == 1 and not known
            trouble.told |= telling
        if telling:
            since = stamp(trouble.since)
            self.tell(f"{plain(name)}: {trouble.words} (since {since}; keeps serving, tries again)")
        return pause

    def _well(self, kind: str, name: str) -> None:
        with self._changed:
            trouble = self._troubles.pop((kind, name), None)
        if trouble is not None and trouble.told:
            lasted = self.clock() - trouble.since
            tries = "1 failed try" if trouble.count == 1 else f"{trouble.count} failed tries"
            self.tell(f"{plain(name)}: works again after {lasted:.0f} s and {tries}")

    def _forget(self, model: str) -> None:
        with self._changed:
            self._troubles.pop((MODEL, model), None)


def _raise(future: Future[None]) -> None:
    """A bug in the loop itself must be loud, not swallowed by the pool."""
    error = future.exception()
    if error is not None:
        # Nobody wrote its message for others to read, and it may hold what the environment keeps secret.
        told = "".join(traceback.format_exception(error))
        log.error("the loop met an error it does not know: %s", without_secrets(told, secret_values(os.environ)))
