"""How far the models are when a schedule begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.deeds import train
from tests.simulation.setups import APPROVAL

if TYPE_CHECKING:
    from tests.simulation.universe import Universe


def reach(u: Universe, start: str) -> None:
    """Bring the first model there from what comes before; all the others have a champion."""
    if start == "fresh":
        for name in u.names[1:]:
            _crown(u, name, 0.8)
    STARTS[start](u, u.names[0])


def _new(u: Universe, name: str, auc: float) -> int:
    u.now += 1.0
    with u.person():
        number = train(u, name, auc)
        u.registry.approve(name, number, APPROVAL, "ana")
    return number


def _until(u: Universe, reached: Callable[[], bool]) -> None:
    for _ in range(600):
        if reached():
            return
        u.work(u.processes[0], 1, 100.0)
    raise AssertionError("the start of a schedule was not reached")


def _crown(u: Universe, name: str, auc: float) -> int:
    number = _new(u, name, auc)
    _until(u, lambda: u.marks(name).champion == number and u.marks(name).challenger is None)
    return number


def _newest(u: Universe, name: str) -> int:
    return u.marks(name).newest


def _weight(u: Universe, name: str, number: int) -> int:
    target = u.watched[name].targets[0]
    return u.deployer.serving(target).get(number, 0)


def fresh(u: Universe, name: str) -> None:
    """Nothing is registered."""


def reigning(u: Universe, name: str) -> None:
    _crown(u, name, 0.8)


def displaced(u: Universe, name: str) -> None:
    """v2 reigns over v1, which is still warm."""
    _crown(u, name, 0.85)


def nominated(u: Universe, name: str) -> None:
    number = _new(u, name, 0.9)
    _until(u, lambda: u.marks(name).challenger == number)


def canary(u: Universe, name: str) -> None:
    number = _newest(u, name)
    _until(u, lambda: _weight(u, name, number) > 0)


def whole(u: Universe, name: str) -> None:
    """The challenger serves everywhere and is not crowned yet."""
    number = _newest(u, name)
    places = u.watched[name].targets
    _until(u, lambda: all(u.deployer.serving(t) == {number: 100} for t in places))


def failing(u: Universe, name: str) -> None:
    """The roll-back of v3 has begun."""
    number = _newest(u, name)
    u.deployer.mute[number] = "it raises"
    _until(u, lambda: (crown := u.marks(name).crown) is not None and crown.floor == number)


def ordered(u: Universe, name: str) -> None:
    """A person has moved the champion back to v1, and that is acknowledged."""
    with u.person():
        u.registry.set_alias(name, "champion", 1)
    _until(u, lambda: (crown := u.marks(name).crown) is not None and crown.crowned == 1)


def unmet(u: Universe, name: str) -> None:
    """A person has ordered v3, which does not start."""
    with u.person():
        number = train(u, name, 0.1)
        u.deployer.broken[number] = "no such artifacts"
        u.registry.set_alias(name, "champion", number)
    _until(u, lambda: any(line.event == "unmet" for line in u.lines(name)))


AFTER = {
    "reigning": "fresh",
    "displaced": "reigning",
    "nominated": "displaced",
    "canary": "nominated",
    "whole": "canary",
    "failing": "nominated",
    "ordered": "displaced",
    "unmet": "displaced",
}
"""From where each start is reached."""
STARTS: dict[str, Callable[[Universe, str], None]] = {
    start.__name__: start for start in (fresh, reigning, displaced, nominated, canary, whole, failing, ordered, unmet)
}
