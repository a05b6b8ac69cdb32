"""A worker dies at any port call of a whole run on real parts: the end is the same, and no request fails."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.dying import Place
from tests.e2e.stories import STORIES, straight, with_a_crash
from tests.e2e.world import Bed, Saved, World

pytestmark = pytest.mark.slow

EVERY = 40
"""One in so many places is tried in every run, where the registry is a file."""


@contextmanager
def told(bed: Bed, story: str, saved: Saved | None = None) -> Iterator[World]:
    """A world at the beginning of the story: gone back to, or made."""
    world = World(bed)
    try:
        if saved is not None:
            world.restore(saved)
        else:
            STORIES[story](world)
        yield world
    finally:
        world.close()


@functools.cache
def beginning(bed: Bed, story: str) -> tuple[Saved | None, list[Place]]:
    """The story's beginning, and the places of its straight run, checked too."""
    with told(bed, story) as world:
        saved = world.saved() if bed.database else None
        return saved, straight(world, story)


def walk(bed: Bed, story: str, first: int, every: int, *, wiped: bool) -> None:
    saved, places = beginning(bed, story)
    assert len(places) > 40
    for place in places[first::every]:
        with told(bed, story, saved) as world:
            with_a_crash(world, story, place, wiped=wiped)


@pytest.mark.parametrize("wiped", [False, True], ids=["ledger kept", "ledger wiped"])
@pytest.mark.parametrize("story", sorted(STORIES))
def test_a_crash_ends_as_without_it(sqlite: Bed, story: str, *, wiped: bool) -> None:
    walk(sqlite, story, 11 if wiped else 31, EVERY, wiped=wiped)


@pytest.mark.parametrize(("story", "place"), [("updated", 0.8), ("rolled_back", 0.6), ("ordered_back", 0.2)])
def test_a_crash_ends_as_without_it_over_http(sqlite: Bed, http: Bed, story: str, place: float) -> None:
    """The calls are the same whatever the registry, so the places are those of the file."""
    places = beginning(sqlite, story)[1]
    with told(http, story) as world:
        with_a_crash(world, story, places[int(place * len(places))], wiped=False)


@pytest.mark.long
@pytest.mark.parametrize("wiped", [False, True], ids=["ledger kept", "ledger wiped"])
@pytest.mark.parametrize("story", sorted(STORIES))
def test_a_crash_at_any_port_call_ends_as_without_it(sqlite: Bed, story: str, *, wiped: bool) -> None:
    walk(sqlite, story, 0, 1, wiped=wiped)


@pytest.mark.long
@pytest.mark.parametrize("wiped", [False, True], ids=["ledger kept", "ledger wiped"])
@pytest.mark.parametrize("story", sorted(STORIES))
def test_a_crash_at_many_port_calls_over_http(http: Bed, story: str, *, wiped: bool) -> None:
    walk(http, story, 1, 5, wiped=wiped)


@pytest.mark.long
@pytest.mark.parametrize("wiped", [False, True], ids=["ledger kept", "ledger wiped"])
@pytest.mark.parametrize("story", sorted(STORIES))
def test_a_crash_at_many_port_calls_on_postgres(database: Bed, story: str, *, wiped: bool) -> None:
    walk(database, story, 2, 5, wiped=wiped)
