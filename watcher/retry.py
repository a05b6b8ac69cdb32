"""Retries of seconds inside one adapter call. Minutes to hours are the ledger's; nothing wraps the loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from watcher.errors import Transient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """Tries a call again after `Transient`, at most `attempts` times and never beyond `budget` seconds.

    A `retry_after` that does not fit into the budget ends it at once: the caller has better things to do than wait.
    """

    attempts: int = 3
    first: float = 0.2
    """Seconds before the second attempt; doubled for each one after it, with some jitter."""
    longest: float = 5.0
    budget: float = 20.0
    """No attempt starts later than this after the first one did, in seconds."""
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic

    def __call__(self, call: Callable[[], T]) -> T:
        """Answer what the call answers. Raises what its last attempt raised."""
        started = self.now()
        backoff = wait_exponential_jitter(multiplier=self.first, max=self.longest, jitter=self.first)

        def wait(state: RetryCallState) -> float:
            return max(backoff(state), _asked(state))

        def too_late(state: RetryCallState) -> bool:
            return self.now() - started + state.upcoming_sleep > self.budget

        retrying = Retrying(
            retry=retry_if_exception_type(Transient),
            wait=wait,
            stop=lambda state: stop_after_attempt(self.attempts)(state) or too_late(state),
            sleep=self.sleep,
            reraise=True,
        )
        return retrying(call)


def _asked(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after or 0.0 if isinstance(error, Transient) else 0.0
