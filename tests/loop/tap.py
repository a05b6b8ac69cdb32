"""Ports with a tap on every call: a place to die, to let somebody else work, or to count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.loop.world import World
from watcher.reconcile import Loop

VERBS = frozenset(
    {
        "read",
        "version",
        "versions",
        "crown",
        "challenge",
        "write_crown",
        "tag",
        "of",
        "example",
        "observe",
        "launch",
        "probe",
        "mirror",
        "shift",
        "retire",
        "start",
        "load",
        "save",
        "due",
    }
)


class Tap:
    """Calls `at(verb, when)` before and after each port call of the object behind it."""

    def __init__(self, inner: Any, at: Callable[[str, str], None]) -> None:
        self._inner, self._at = inner, at

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in VERBS:
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._at(name, "before")
            answer = value(*args, **kwargs)
            self._at(name, "after")
            return answer

        return call


def tapped(world: World, at: Callable[[str, str], None]) -> Loop:
    """A worker all of whose port calls go through `at`."""
    return world.worker(
        registry=Tap(world.registry, at),
        deployer=Tap(world.deployer, at),
        ledger=Tap(world.ledger, at),
        evaluator=Tap(world.evaluator, at),
    )


def on_return(of: Any, name: str, heard: Callable[..., None]) -> None:
    """Let `heard` have the answer and the arguments of each call of a method."""
    method = getattr(of, name)

    def call(*arguments: Any, **named: Any) -> Any:
        answer = method(*arguments, **named)
        heard(answer, *arguments, **named)
        return answer

    setattr(of, name, call)


def on_call(of: Any, name: str, heard: Callable[..., None]) -> None:
    """Let `heard` have the arguments of each call of a method before the method has them."""
    method = getattr(of, name)

    def call(*arguments: Any, **named: Any) -> Any:
        heard(*arguments, **named)
        return method(*arguments, **named)

    setattr(of, name, call)
