"""What a wake-up does not need it does not read: registries are slow, and a rollout is many wake-ups."""

from __future__ import annotations

from tests.loop.world import World, to_weight
from watcher.values import Call


def _read(world: World, which: str) -> list[int]:
    """Versions that were asked for this, in order."""
    return [identity.version for verb, *rest in world.registry.calls if verb == which for identity in rest]


def _nominated(world: World) -> int:
    """A winner that is tagged as one, and not launched yet."""
    world.crowned()
    version, loop = world.train(0.9), world.worker()
    while world.call(version) is not Call.WINS:
        world.wake(loop)
    world.registry.calls.clear()
    return version


def test_what_a_rollout_reads_of_a_version_is_its_example_for_the_probe() -> None:
    world = World()
    version = _nominated(world)
    to_weight(world, version, 100)
    assert _read(world, "example") == [version]
    assert not _read(world, "of")


def test_a_release_that_was_lost_is_asked_again_with_the_example_read_again() -> None:
    world = World()
    version = _nominated(world)
    to_weight(world, version, 10)
    [target] = world.targets
    name = next(r.name for r in world.deployer.look(target).releases if r.version == version)
    world.deployer.lose(target, name)
    world.registry.calls.clear()
    to_weight(world, version, 10)
    assert _read(world, "example") == [version]
