"""The loop on a real registry: a first champion, a better version, a worse one, and a person's order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tests.contract.registry_suite import World
from tests.loop.world import POLICY, ROLLOUT, target
from watcher.fakes.deployer import FakeDeployer
from watcher.fakes.ledger import FakeLedger
from watcher.gather import Sources
from watcher.reconcile import Loop
from watcher.settings import Limits, Watched
from watcher.values import Call, Example, Mode, Version


def reigns(world: World, give_example: Callable[[str, int], object]) -> None:
    """The better version is crowned, the worse is not, and a person is obeyed.

    `give_example` adds MLflow's input example to the files of a version that was just registered.
    """
    name, now = world.name("churn"), time.time()
    place = replace(target(), model=name, place=f"fake:{name}")
    watched = Watched(name, Mode.DEPLOY, POLICY, ROLLOUT, (place,))
    deployer = FakeDeployer(lambda: now, requests_per_second=1_000.0)
    sources = Sources(world.registry, world.registry, {place.kind: deployer}, lambda _: Example(b"{}", rows=1), 1)
    loop = Loop(sources, FakeLedger(), Limits(), lambda: now, "w", evidence_every=5.0)

    def rest() -> int | None:
        nonlocal now
        idle = 0
        while idle < 3:
            acted = loop.wake(watched).acted
            idle = 0 if acted else idle + 1
            now += 0.01 if acted else 600.0
        return world.registry.read(name).champion

    def train(auc: float) -> int:
        number = world.create_version(name, {"auc": auc})
        give_example(name, number)
        return number

    first = train(0.80)
    assert rest() == first
    better = train(0.90)
    assert rest() == better
    worse = train(0.70)
    assert rest() == better
    found = world.registry.version(name, worse)
    assert isinstance(found, Version)
    assert found.call is Call.LOSES
    world.set_alias(name, "champion", first)
    assert rest() == first
    seen = deployer.observe(place)
    live = {release.version for release in seen.releases if seen.weights.get(release.name)}
    assert live == {first}
    assert world.registry.read(name).challenger is None
