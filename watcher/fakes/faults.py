"""Scripted faults, shared by the fakes: the next calls of a verb fail, before or after they had their effect."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Faults:
    """`before` raises instead of the effect, `after` once the effect is there. `calls` records (verb, subject)."""

    before: dict[str, deque[Exception]] = field(default_factory=lambda: defaultdict(deque))
    after: dict[str, deque[Exception]] = field(default_factory=lambda: defaultdict(deque))
    calls: list[tuple[str, str]] = field(default_factory=list)

    def fail(self, verb: str, error: Exception, *, done: bool = False, times: int = 1) -> None:
        """Make the next `times` calls of `verb` fail; `done`: only after the effect."""
        (self.after if done else self.before)[verb].extend([error] * times)

    def run(self, verb: str, subject: str, effect: Callable[[], T]) -> T:
        """Record the call and run the effect between the scripted faults."""
        self.calls.append((verb, subject))
        if self.before[verb]:
            raise self.before[verb].popleft()
        result = effect()
        if self.after[verb]:
            raise self.after[verb].popleft()
        return result
