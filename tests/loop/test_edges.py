"""Corners of the loop that no story needs: each keeps one promise of DESIGN's invariants."""

from __future__ import annotations

from tests.loop.world import MODEL, World
from watcher.pause import set_paused
from watcher.values import Call


def test_a_version_that_was_marked_champion_before_anybody_acknowledged_it_is_judged_like_any_other() -> None:
    world = World()
    first = world.crowned(0.8)
    set_paused(world.ledger, "ana", on=True, now=world.now)
    second = world.train(0.7)
    world.registry.set_alias(MODEL, "champion", second)
    world.wake()
    world.registry.set_alias(MODEL, "champion", first)
    set_paused(world.ledger, "ana", on=False, now=world.now)
    world.rest()
    assert world.call(second) is Call.LOSES


def test_the_last_release_goes_on_serving_where_neither_the_order_nor_what_was_before_can_be() -> None:
    world = World()
    first = world.crowned(0.8)
    ordered = world.train(0.1)
    world.rest()
    world.deployer.broken[ordered] = "no such artifacts"
    world.registry.set_alias(MODEL, "challenger", first)
    world.registry.set_alias(MODEL, "champion", ordered)
    world.wake()
    world.registry.delete_version(MODEL, first)
    world.rest(until=world.now + 100)
    assert world.serving() == {first: 100}
