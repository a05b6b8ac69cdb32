"""The history tells of a version what is new, and nothing twice."""

from __future__ import annotations

from tests.loop.world import World


def test_a_version_that_was_rolled_back_is_not_judged_once_more() -> None:
    world = World()
    world.crowned(0.8)
    broken = world.train(0.9)
    world.deployer.mute[broken] = "it raises ValueError"
    world.rest()
    events = [line.event for line in world.lines() if line.version == broken]
    assert "rolled_back" in events
    assert events.count("verdict") == 1
    assert events.index("verdict") < events.index("rolled_back")
