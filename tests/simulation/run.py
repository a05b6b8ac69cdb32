"""Runs one schedule, from its start to its rest."""

from __future__ import annotations

import functools
import traceback
from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.checks import Checks, Violation
from tests.simulation.rest import NO_REST, calm, come_to_rest, rested, settle
from tests.simulation.schedule import Schedule
from tests.simulation.setups import setup
from tests.simulation.starts import AFTER, reach
from tests.simulation.universe import Universe


@dataclass
class Outcome:
    """How a schedule ended."""

    problem: str | None = None
    """The invariant that broke, or the error that came out; None where all is well."""
    raised: bool = False
    """Whether the problem is an error that came out, and no invariant."""
    coverage: Counter[tuple[str, ...]] = field(default_factory=Counter)
    wake_ups: int = 0
    trace: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The problem without its numbers, so that a smaller schedule can be told to have the same."""
        text = (self.problem or "").split("\n", 1)[0]
        return "".join("#" if c.isdigit() else c for c in text)[:40]


@functools.cache
def started(number: int, start: str) -> tuple[Universe, Checks]:
    """The world that a schedule of this setup and start begins with."""
    if start in AFTER:
        before, known = started(number, AFTER[start])
        checks = known.copy()
        universe = before.fork(checks)
    else:
        checks = Checks()
        universe = Universe(setup(number), checks)
        checks.watch(universe)
    reach(universe, start)
    return universe, checks


def run(schedule: Schedule, *, tell: bool = False) -> Outcome:
    """Run it; `tell`: with one line for each thing that happens."""
    before, known = started(schedule.setup, schedule.start)
    checks = known.copy()
    u = before.fork(checks)
    trace: list[str] = []
    if tell:
        u.tell = trace.append
    outcome = Outcome(coverage=u.coverage)
    try:
        for event in schedule.events:
            u.happen(event)
        u.say("-- the faults stop --")
        calm(u, kind=schedule.kind)
        _end(u)
    except Violation as violation:
        outcome.problem = str(violation)
    except Exception as error:  # noqa: BLE001 whatever comes out of the product is a finding
        outcome.raised = True
        outcome.problem = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    outcome.wake_ups, outcome.trace = u.wake_ups, tuple(trace)
    return outcome


def _end(u: Universe) -> None:
    for _ in range(3):
        problem: Violation | None = None
        try:
            come_to_rest(u)
        except Violation as violation:
            if not str(violation).startswith(NO_REST):
                raise
            problem = violation
        with u.person():
            helped = [name for name in u.names if settle(u, name)]
        if problem is not None and not helped:
            raise problem
        if not helped:
            break
        u.say(f"-- a person orders {helped} --")
    rested(u)
