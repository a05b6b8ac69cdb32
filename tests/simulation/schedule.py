"""A schedule: everything that happens in one run, as a plain list of events made from a seed before the run begins.

What an event does depends on nothing but the world it meets, so a schedule replays exactly, and any part of it is a
schedule too.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.simulation.deeds import DEEDS

SETUPS = 48
"""Kinds of world: places, canary, staleness, number of models and the like (`tests/simulation/setups.py`)."""
STARTS = ("fresh", "reigning", "displaced", "nominated", "canary", "whole", "failing", "ordered", "unmet")
"""How far the first model is when the schedule begins."""
READS = ("load", "read", "observe", "versions", "version", "of", "example")
WRITES = ("crown", "challenge", "write_crown", "tag", "launch", "probe", "mirror", "shift", "retire", "save")
ACT = "act"
"""Any verb that changes the registry or a target."""
BETWEEN = ("crown", "tag", "shift")
"""Verbs that write in more than one call, or compare before they write."""
ERRORS = ("transient", "busy", "conflict", "terminal")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens. `during` is what others do meanwhile, where the event stops a worker at a port call."""

    name: str
    args: tuple[int | float | str, ...] = ()
    during: tuple[Event, ...] = ()

    def __str__(self) -> str:
        inner = f" [{'; '.join(str(event) for event in self.during)}]" if self.during else ""
        return f"{self.name}({', '.join(str(a) for a in self.args)}){inner}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A kind of world, how far it is, and what happens then."""

    setup: int
    start: str
    events: tuple[Event, ...]
    kind: bool = False
    """Whether versions that do not work are mended at the end; otherwise only those that serve are."""


def generate(seed: int) -> Schedule:
    """The schedule of a seed: always the same."""
    chance = random.Random(seed)
    made = _Maker(chance)
    length = chance.randint(4, 24)
    return Schedule(
        chance.randrange(SETUPS), chance.choice(STARTS), tuple(made.event() for _ in range(length)), made.coin(0.5)
    )


FOLLOWS = {
    "trained_pending": "finished",
    "trained_unmeasured": "measured_late",
    "trained_empty": "stored_late",
    "occupied": "adopted",
    "seized": "seized",
    "held": "held",
}
"""What makes sense only after something else happened."""


class _Maker:
    """Each schedule uses only some of all deeds and faults, so that what it uses comes often enough to build up."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        chosen = chance.sample(sorted(DEEDS), k=chance.randint(2, 9))
        self.deeds = [*chosen, *(FOLLOWS[deed] for deed in chosen if deed in FOLLOWS)]
        self.errors = chance.sample(ERRORS, k=chance.randint(1, 4))
        self.deaths = chance.choice((0.0, 0.3, 0.6))
        self.patience = chance.choice((20.0, 60.0, 300.0))
        self.others = chance.choice((0.3, 0.7))

    def coin(self, share: float) -> bool:
        return self.chance.random() < share

    def event(self) -> Event:
        kind = self.chance.random()
        if kind < 0.35:
            return self.work()
        if kind < 0.6:
            return self.deed()
        return self.strike(depth=1)

    def work(self) -> Event:
        """A process works for so many wake-ups, and lets at most so much time pass."""
        wakes = self.chance.choice((1, 3, 6, 12, 24))
        return Event("work", (self.chance.randrange(3), wakes, round(self.chance.random() * self.patience, 1)))

    def deed(self) -> Event:
        return Event(self.chance.choice(self.deeds), (self.chance.randrange(3), round(self.chance.random(), 3)))

    def strike(self, depth: int) -> Event:
        """At the nth call of a verb from now, a process dies, gets an error, or is overtaken by others."""
        chance = self.chance
        verb = ACT if self.coin(0.6) else chance.choice(READS if self.coin(0.5) else WRITES)
        when = chance.choice(("before", "after"))
        if (verb == ACT or verb in BETWEEN) and self.coin(0.15):
            when = "between"
        where = (verb, chance.choice((1, 1, 2, 3, 5)), when)
        if depth < 3 and self.coin(self.others):
            return Event("stop", where, tuple(self._meanwhile(depth) for _ in range(chance.randint(1, 3))))
        what = "die" if self.coin(self.deaths) else chance.choice(self.errors)
        return Event("strike", (*where, what))

    def _meanwhile(self, depth: int) -> Event:
        kind = self.chance.random()
        if kind < 0.35:
            return self.work()
        if kind < 0.7:
            return self.deed()
        if kind < 0.85:
            return Event("pass", (self.chance.choice((0.5, 3.0, 11.0, 60.0, 130.0)),))
        return self.strike(depth + 1)


def without(schedule: Schedule, events: Sequence[Event]) -> Schedule:
    """The schedule with other events."""
    return replace(schedule, events=tuple(events))
