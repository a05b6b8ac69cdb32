"""Fifty new winners at once among a thousand models, on fakes: what a wake-up costs, and who waits on another."""

from __future__ import annotations

import gc
import heapq
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bench import Bench, BenchError, Figure, Measured, median_figure, quantile, sure
from watcher.fakes.deployer import FakeDeployer, Placed
from watcher.fakes.registry import FakeRegistry
from watcher.gather import Sources
from watcher.ledger.sqlite import SqliteLedger
from watcher.naming import release_name
from watcher.policy import Policy, Primary
from watcher.poll import Poller
from watcher.reconcile import Loop
from watcher.settings import Limits, Watched
from watcher.values import Analysis, Crown, Example, Gone, Kind, Mode, Rollout, Target

MODELS, WINNERS = 1_000, 50
START = 1_700_000_000.0
POLICY = Policy(Primary("auc", min_gain=0.002), signature=False)
ROLLOUT = Rollout(canary=(10, 50, 100), bake=30.0, analysis=Analysis(min_requests=10), keep_warm=60.0)
ON_OTHERS = frozenset({"slots_full", "leased", "conflict"})
"""Reasons to wait that come from another model, or from another worker."""
LATE = 0.001
"""Seconds by which a virtual clock may differ by rounding."""


@dataclass
class World:
    """Models that all serve their champion, under one virtual clock; the ledger is a real one."""

    models: int
    ledger: SqliteLedger
    now: float = START
    spent: list[float] = field(default_factory=list)
    """Own CPU seconds of each wake-up: the fakes' part is in them."""
    blocked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.registry = FakeRegistry(lambda: self.now)
        self.deployer = FakeDeployer(lambda: self.now)
        sources = Sources(self.registry, self.registry, {"fake": self.deployer}, lambda _: Example(b"{}"), 1)
        self.loop = Loop(sources, self.ledger, Limits(WINNERS), lambda: self.now, "bench")
        self.poller = Poller(self.registry, self.ledger, lambda _: True, ())
        for number in range(self.models):
            self.settle(f"bench.m{number:05}")

    def settle(self, name: str) -> None:
        """One more model that serves its first version."""
        self.train(name, 0.8)
        self.registry.set_alias(name, "champion", 1)
        self.registry.set_crown(name, Crown(crowned=1, floor=1, n=1))
        version = self.registry.version(name, 1)
        if isinstance(version, Gone):
            raise BenchError(f"{name} has no version")
        release = release_name(version.identity)
        target = self.watched(name).targets[0]
        self.deployer.look(target)
        self.deployer.places[target.place].releases[release] = Placed(1, version.identity.key, target.owner, self.now)
        self.deployer.meddle(target, {release: 100})

    def train(self, name: str, auc: float) -> None:
        self.registry.create_version(name, {"auc": auc}, example=Example(b"{}", rows=1))

    def watched(self, name: str) -> Watched:
        return Watched(name, Mode.DEPLOY, POLICY, ROLLOUT, (Target("api", "fake", Kind.ENDPOINT, name, "bench", name),))

    def drain(self, names: set[str]) -> dict[str, float]:
        """Wake these, and each again when it asks for it, until all have settled; virtual seconds until the crown."""
        due = [(self.now, name) for name in sorted(names)]
        crowned: dict[str, float] = {}
        began = self.now
        while due:
            at, name = heapq.heappop(due)
            self.now = max(self.now, at)
            cpu = time.process_time()
            woken = self.loop.wake(self.watched(name))
            self.spent.append(time.process_time() - cpu)
            if woken.step.reason in ON_OTHERS:
                self.blocked.add(name)
            if name not in crowned and self.registry.read(name).champion != 1:
                crowned[name] = self.now - began
            if woken.again is not None:
                heapq.heappush(due, (woken.again, name))
        return crowned


def run(bench: Bench) -> Measured:
    """A round: a fresh world at rest, then all winners in one poll."""
    worst, typical, waited, whole = [], [], [], []
    models, winners = bench.of(MODELS, 20), bench.of(WINNERS, 5)
    # As the watcher does once its SDK is there: what else this process imported is not its own.
    gc.collect()
    gc.freeze()
    for number in range(bench.rounds):
        path = bench.fresh("winners") / "ledger.db"
        world = _at_rest(models, path)
        chosen = {f"bench.m{m:05}" for m in range(0, models, models // winners)}
        alone = _alone(world)
        for name in sorted(chosen):
            world.train(name, 0.9)
        found = world.poller.changes()
        sure(found == chosen, f"the poll found {len(found)} of {len(chosen)}")
        world.spent.clear()
        began = time.monotonic()
        crowned = world.drain(found)
        whole.append(time.monotonic() - began)
        sure(crowned.keys() == chosen, "every winner is crowned")
        late = {name for name, seconds in crowned.items() if seconds > alone + LATE}
        waited.append(float(len(late | world.blocked)))
        worst.append(max(world.spent) * 1000)
        typical.append(quantile(world.spent, 0.5) * 1000)
        world.ledger.close()
        bench.say(f"round {number + 1}: the slowest of {len(world.spent):,} wake-ups {worst[-1]:.1f} ms")
    told = f"median {quantile(typical, 0.5):.1f} ms; {winners} rollouts drained in {quantile(whole, 0.5):.1f} s"
    return {
        "winners_cpu": Figure(max(worst), f"the slowest of all rounds; {told}", tuple(worst)),
        "winners_waited": median_figure(waited, f"of {winners}; crowned as soon as one alone"),
    }


def _at_rest(models: int, path: Path) -> World:
    world = World(models, SqliteLedger(path))
    world.drain(world.poller.changes())
    world.now += 3_600
    return world


def _alone(world: World) -> float:
    """Virtual seconds until the crown of a winner that is the only one."""
    world.now += 3_600
    name = "bench.alone"
    world.settle(name)
    world.drain(world.poller.changes())
    world.now += 3_600
    world.train(name, 0.9)
    seconds = world.drain(world.poller.changes())[name]
    world.now += 3_600
    return seconds
