"""Makes a failing schedule as small as it gets: events are left out as long as the same problem comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.run import Outcome
from tests.simulation.schedule import Event, Schedule

MOST = 600
"""Runs spent on one schedule."""


def shrink(schedule: Schedule, run: Callable[[Schedule], Outcome], most: int = MOST) -> Schedule:
    """A smaller schedule with the same problem; the same one where nothing can be left out."""
    kind, left = run(schedule).kind, most
    while left > 0:
        for smaller in _smaller(schedule):
            left -= 1
            if run(smaller).kind == kind:
                schedule = smaller
                break
            if left <= 0:
                break
        else:
            return schedule
    return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    """Each way to leave something out, the largest parts first."""
    for events in _fewer(schedule.events):
        yield replace(schedule, events=events)


def _fewer(events: tuple[Event, ...]) -> Iterator[tuple[Event, ...]]:
    size = len(events) // 2
    while size >= 1:
        for first in range(0, len(events), size):
            yield events[:first] + events[first + size :]
        size //= 2
    for index, event in enumerate(events):
        for inner in _fewer(event.during):
            if inner:
                yield (*events[:index], replace(event, during=inner), *events[index + 1 :])
        if event.name == "work" and int(event.args[1]) > 1:
            for wakes in {1, int(event.args[1]) // 2, int(event.args[1]) - 1}:
                less = replace(event, args=(event.args[0], wakes, event.args[2]))
                yield (*events[:index], less, *events[index + 1 :])
