"""What five changed models cost, beyond what their verdicts need, in a small and in a large registry."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from benchmarks import registry
from benchmarks.bench import Bench, Figure, Measured, median_figure, sure
from benchmarks.serving import model
from watcher.gather import REGISTRY_LEASE, Sources
from watcher.ledger.sqlite import SqliteLedger
from watcher.policy import Policy, Primary
from watcher.poll import Poller
from watcher.reconcile import Loop
from watcher.registry.mlflow import build
from watcher.settings import Limits, RegistrySettings, Watched
from watcher.values import Call, Example, Mode, Rollout, Version

SMALL, LARGE, VERSIONS = 100, 1_000, 100
CHANGED = 5
POLICY = Policy(Primary("auc", min_gain=0.002), signature=False)


def run(bench: Bench) -> Measured:
    """A round: five new versions that lose, one poll, and wake-ups until all five are judged and at rest.

    What a verdict needs is what it takes where its model is woken by name, without any poll: the wake-up that judges
    and writes the verdict, and the look after it.
    """
    small, large = (_measure(bench, bench.of(models, CHANGED * 2)) for models in (SMALL, LARGE))
    polls = [float(found.poll) for found in large]
    judging, after = (statistics.median(values) / CHANGED for values in zip(*((f.judging, f.after) for f in large)))  # noqa: B905
    sizes = [statistics.median(found.whole for found in side) for side in (small, large)]
    return {
        "changed_calls": median_figure(polls, f"a verdict costs {judging:g} calls, the look after it {after:g}"),
        "changed_size": Figure(
            abs(sizes[1] - sizes[0]), f"{sizes[0]:g} calls in all of {SMALL} models, {sizes[1]:g} of {LARGE:,}"
        ),
    }


@dataclass(frozen=True)
class Calls:
    """HTTP requests of one round."""

    poll: int
    judging: int
    """The wake-ups that judged."""
    after: int
    """The looks after them."""

    @property
    def whole(self) -> int:
        return self.poll + self.judging + self.after


def _measure(bench: Bench, models: int) -> list[Calls]:
    database = registry.seeded(bench, models, bench.of(VERSIONS, 2))
    with registry.server(database) as (address, _), registry.counted() as counted:
        watched = build(RegistrySettings(address, address), {})
        ledger = SqliteLedger(database.parent / "ledger.db")
        poller = Poller(watched, ledger, lambda _: True, ())
        sources = Sources(watched, watched, MappingProxyType({}), lambda _: Example(b"{}"))
        # A record that is new waits one lease before it acts: the clock is put forward once all are there.
        ahead = 0.0
        loop = Loop(sources, ledger, Limits(), lambda: time.time() + ahead, "bench")
        trainer = registry.Trainer(address)
        poller.changes()
        chosen = registry.names(models)[:: models // CHANGED][:CHANGED]
        for name in chosen:
            _rest(loop, name)
        ahead = 2 * REGISTRY_LEASE
        rounds = []
        for _ in range(bench.rounds):
            versions = {name: trainer.register(name, 0.5, model(bench)) for name in chosen}
            marks = [counted.calls]
            found = poller.changes()
            marks.append(counted.calls)
            sure(found == set(chosen), f"the poll found {found}")
            for name in chosen:
                woken = loop.wake(_watched(name))
                sure(woken.acted, f"a verdict was to be written, and not {woken.step}")
            marks.append(counted.calls)
            for name in chosen:
                _rest(loop, name)
            marks.append(counted.calls)
            rounds.append(Calls(*(later - earlier for earlier, later in pairwise(marks))))
            for name, version in versions.items():
                there = watched.version(name, version)
                sure(isinstance(there, Version) and there.call is Call.LOSES, f"{there} was to lose")
    bench.say(f"{models:,} models: {rounds[-1]}")
    return rounds


def _watched(name: str) -> Watched:
    return Watched(name, Mode.ADVISE, POLICY, Rollout(), ())


def _rest(loop: Loop, name: str) -> None:
    """Wake as long as steps are taken."""
    while loop.wake(_watched(name)).acted:
        pass
