"""Where a worker can die: at each call of a port, counted from the last step that was taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.loop.tap import VERBS
from tests.loop.world import Died
from watcher.reconcile import Woken


class Place(NamedTuple):
    """Dying before call `call`, after so many `steps`; `acting`: counted from where the intent is written.

    How often a worker waits in between is up to the clock, so calls are not counted through. Dying after a call is
    dying before the next one.
    """

    steps: int
    acting: bool
    call: int


@dataclass
class Life:
    """One worker's, which ends at `place`; without a place it notes the places there are."""

    place: Place | None = None
    steps: int = 0
    seen: list[Place] = field(default_factory=list)
    _calls: int = 0
    _since_intent: int | None = None
    _first: bool = True
    """Whether this is the first wake-up since the last step."""

    def tap(self, port: str, inner: Any) -> Any:
        """The port, with every call of it noted."""
        if port == "registry":
            # A port's verb may take several requests: between two writes is a place too.
            for marks in (inner._marks, inner._version_marks):  # noqa: SLF001
                marks._client = _Asks(marks._client, self._ask)  # noqa: SLF001
        return _Tap(inner, self._at)

    def woke(self, woken: Woken) -> None:
        """To be called after every wake-up."""
        self._first = woken.acted
        self._since_intent = None
        if woken.acted:
            self.steps += 1
            self._calls = 0

    def _at(self, verb: str, arguments: tuple[Any, ...]) -> None:
        if verb == "save" and arguments[1].get("intent"):
            self._since_intent = 0
        self._die_here(verb)

    def _ask(self, doing: str) -> None:
        if doing.startswith(("set", "write", "remove")):
            self._die_here(doing)

    def _die_here(self, what: str) -> None:
        here = Place(self.steps, acting=False, call=self._calls)
        acting = Place(self.steps, acting=True, call=self._since_intent) if self._since_intent is not None else None
        self._calls += 1
        if self._since_intent is not None:
            self._since_intent += 1
        if self.place is None:
            if self._first:
                self.seen.append(here)
            elif acting is not None:
                self.seen.append(acting)
        elif self._reached(here) or (acting is not None and self._reached(acting)):
            raise Died(what)

    def _reached(self, here: Place) -> bool:
        place = self.place
        return (
            place is not None
            and here.acting == place.acting
            and (here.steps > place.steps or (here.steps == place.steps and here.call >= place.call))
        )


class _Tap:
    def __init__(self, inner: Any, at: Callable[[str, tuple[Any, ...]], None]) -> None:
        self._inner, self._at = inner, at

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in VERBS:
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            self._at(name, arguments)
            return value(*arguments, **named)

        return call


class _Asks:
    def __init__(self, inner: Any, at: Callable[[str], None]) -> None:
        self._inner, self._at = inner, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def ask(self, doing: str, *arguments: Any) -> Any:
        self._at(doing)
        return self._inner.ask(doing, *arguments)
