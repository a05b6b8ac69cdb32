"""A whole small product on fakes: one model, some targets, workers that can crash, people, one virtual clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from watcher.evaluations import Evaluate, Holdout
from watcher.fakes.deployer import FakeDeployer
from watcher.fakes.evaluator import FakeEvaluator
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.registry import FakeRegistry
from watcher.gather import Sources
from watcher.news import News
from watcher.outbox import Nobody, Outbox
from watcher.policy import Policy, Primary
from watcher.ports import Evidence, Line, Stored
from watcher.reasons import REASONS
from watcher.reconcile import Loop, Woken
from watcher.settings import Limits, Watched
from watcher.slots import KEY as SLOTS
from watcher.values import (
    Analysis,
    Call,
    EvidenceOf,
    Example,
    Kind,
    Marks,
    Mode,
    Observed,
    Rollout,
    State,
    Target,
    Version,
)

MODEL = "prod.risk.churn"
START = 1_000_000.0
ROLLOUT = Rollout(
    canary=(10, 50, 100),
    bake=20.0,
    analysis=Analysis(min_requests=10, max_error_increase=0.05, max_p95_ratio=1.5),
    keep_warm=60.0,
    deadline=3_600.0,
)
POLICY = Policy(Primary("auc", min_gain=0.002), floors={"auc": 0.5}, signature=False)
EVALUATED = replace(
    POLICY,
    primary=Primary("roc_auc", confidence=0.95),
    evaluate=Evaluate(Holdout("holdout.parquet"), "y", ("roc_auc",)),
)
"""Logged metrics count for nothing but the floor: champion and challenger are scored on the same rows."""
KINDS = {"fake": Kind.ENDPOINT, "fake-batch": Kind.BATCH, "fake-stream": Kind.STREAM}


class Died(BaseException):
    """The process was killed here."""


def target(name: str = "api", kind: str = "fake") -> Target:
    return Target(name, kind, KINDS[kind], MODEL, "test", f"{kind}:{name}")


class Listed:
    """Evidence that lists what one worker asked of it, with the marks of then, while nobody else writes anything."""

    def __init__(self, registry: FakeRegistry, inner: Evidence) -> None:
        self._registry, self._inner = registry, inner
        self._writes = 0
        self.read: list[tuple[Version, Marks]] = []

    def begin(self) -> None:
        """A wake-up begins."""
        self._writes = self._registry.snapshot().world.writes
        self.read.clear()

    def alone(self) -> bool:
        """Whether nobody wrote since."""
        return self._registry.snapshot().world.writes == self._writes

    def of(self, version: Version) -> EvidenceOf:
        self._list(version)
        return self._inner.of(version)

    def example(self, version: Version) -> Example | None:
        self._list(version)
        return self._inner.example(version)

    def _list(self, version: Version) -> None:
        world = self._registry.snapshot().world
        if self.alone():
            self.read.append((version, world.models[version.identity.name].marks))


@dataclass
class World:
    """Ports that outlive any worker, and workers rebuilt from nothing but them."""

    targets: tuple[Target, ...] = (target(),)
    policy: Policy = POLICY
    rollout: Rollout = ROLLOUT
    mode: Mode = Mode.DEPLOY
    limits: Limits = field(default_factory=Limits)
    atomic: bool = True
    now: float = START
    step_seconds: float = 0.01

    def __post_init__(self) -> None:
        self.registry = FakeRegistry(self.clock)
        self.ledger = FakeLedger()
        self.deployer = FakeDeployer(self.clock, atomic=self.atomic)
        self.evaluator = FakeEvaluator(self.clock, lease=20.0)
        self._workers = itertools.count(1)
        self.watch: list[Callable[[World], None]] = []
        self.woken: Woken | None = None
        """What the last wake-up did."""
        self.still = False
        """Whether nobody wrote a mark while it waited."""
        self.read: list[tuple[Version, Marks]] = []
        """Versions whose evidence it read, with the marks of then."""
        self.woken_at = self.now
        """When it began."""
        self.woken_as = ""
        """The worker whose wake-up it was."""
        self.found: Stored | None = None
        """What the ledger had of the model when it began."""
        self.asked: list[tuple[Any, ...]] = []
        """What it asked the registry: verbs and arguments."""
        self.had_slot = False
        """Whether the model had a slot for a rollout when it began."""
        self.evaluates = True
        """Whether its workers can evaluate at all."""

    def clock(self) -> float:
        return self.now

    @property
    def watched(self) -> Watched:
        return Watched(MODEL, self.mode, self.policy, self.rollout, self.targets)

    def worker(self, **ports: Any) -> Loop:
        """A new process: nothing in it but ports."""
        registry = ports.get("registry", self.registry)
        deployer = ports.get("deployer", self.deployer)
        evaluator = ports.get("evaluator", self.evaluator) if self.evaluates else None
        moved, evidence = dict.fromkeys(KINDS, deployer), Listed(self.registry, registry)
        sources = Sources(registry, evidence, moved, lambda _: Example(b"{}", rows=1), 1, evaluator)
        ledger = ports.get("ledger", self.ledger)
        name, messenger = f"w{next(self._workers)}", ports.get("messenger")
        outbox = Outbox(ledger, messenger, frozenset(News), self.clock) if messenger else Nobody()
        return Loop(sources, ledger, self.limits, self.clock, name, evidence_every=5.0, outbox=outbox)

    def train(self, auc: float | None = None, **facts: Any) -> int:
        """Register a version with an example, and an AUC unless None."""
        self.now += 1.0
        metrics = {} if auc is None else {"auc": auc}
        return self.registry.create_version(MODEL, metrics, example=Example(b"{}", rows=3), **facts)

    def wake(self, loop: Loop | None = None) -> Woken:
        """One wake-up; every watcher of the world is asked afterwards."""
        loop = loop or self.worker()
        listed = loop.sources.evidence
        assert isinstance(listed, Listed)
        listed.begin()
        began, stored, self.woken_at = self.now, self.kept(), self.now
        asked, slots = len(self.registry.calls), self.kept(SLOTS)
        self.had_slot = slots is not None and MODEL in slots.body["held"]
        woken = loop.wake(self.watched)
        assert woken.step.reason in REASONS, f"no known reason: {woken.step}"
        self.asked = list(itertools.islice(self.registry.calls, asked, None))
        self.woken_at, self.woken_as, self.found = began, loop.worker, stored
        self.woken, self.read = woken, list(listed.read)
        self.still = not woken.acted and listed.alone()
        self.now += self.step_seconds
        for look in self.watch:
            look(self)
        return woken

    def kept(self, key: str = MODEL) -> Stored | None:
        """A record of the ledger, beside the faults that a fake is told to have; a real one has no other."""
        found: Stored | None = getattr(self.ledger, "kept", self.ledger.load)(key)
        return found

    def rest(self, loop: Loop | None = None, most: int = 400, until: float | None = None) -> list[str]:
        """Wake, and let time pass to the next appointment, until nothing is due; the slots of the steps taken."""
        loop = loop or self.worker()
        steps: list[str] = []
        for _ in range(most):
            woken = self.wake(loop)
            if woken.acted:
                steps.append(woken.step.slot)
                continue
            if woken.again is None or (until is not None and woken.again > until):
                return steps
            if woken.step.reason in LASTING:
                return steps
            self.now = max(self.now, woken.again)
        raise AssertionError(f"not at rest after {most} wake-ups: {steps[-8:]}, waits for {woken.step}")

    def fork(self) -> World:
        """A copy that goes its own way."""
        twin = World(self.targets, self.policy, self.rollout, self.mode, self.limits, self.atomic, self.now)
        twin.registry.restore(self.registry.snapshot())
        twin.ledger.restore(self.ledger.snapshot())
        twin.deployer.restore(self.deployer.snapshot())
        twin.evaluator.restore(self.evaluator.snapshot())
        twin.registry.staleness = self.registry.staleness
        for name in ("apply_seconds", "shift_seconds"):
            setattr(twin.deployer, name, getattr(self.deployer, name))
        for name in ("broken", "mute", "error_share", "p95_ms", "disagrees", "direct", "wrote"):
            getattr(twin.deployer, name).update(getattr(self.deployer, name))
        return twin

    def champion(self) -> int | None:
        return self.registry.read(MODEL).champion

    def call(self, version: int) -> Call | None:
        found = self.registry.version(MODEL, version)
        return getattr(found, "call", None)

    def serving(self, name: str = "api") -> dict[int, int]:
        return self.deployer.serving(next(t for t in self.targets if t.name == name))

    def lines(self, event: str | None = None) -> list[Line]:
        return list(self.ledger.history(MODEL, event=event, newest_first=False, most=100_000))

    def crowned(self, auc: float = 0.8) -> int:
        """Train a version and take it all the way to the crown."""
        version = self.train(auc)
        self.rest()
        assert self.champion() == version, self.tail()
        return version

    def tail(self, most: int = 12) -> str:
        return "\n".join(f"{x.event} {x.target} v{x.version} {x.reason} {x.data}" for x in self.lines()[-most:])


LASTING = frozenset(
    {
        "model_gone",
        "champion_missing",
        "champion_gone",
        "no_example",
        "cannot_mirror",
        "too_few_requests",
        "traffic_unknown",
        "held",
        "paused",
        "target_refuses",
        "not_adopted",
        "winner_waits",
        "advise_only",
        "crown_unreadable",
        "nothing_to_do",
    }
)
"""Waits that end by somebody else's doing; their next look is only a look."""


def ready(world: World, name: str) -> list[int]:
    """Versions that are ready on a target."""
    seen = world.deployer.observe(next(t for t in world.targets if t.name == name))
    return sorted(r.version for r in seen.releases if r.state is State.READY)


def out_of_reach(world: World, name: str, error: Exception) -> None:
    """From now on whoever observes this target gets the error."""
    look = world.deployer.observe

    def blind(place: Target) -> Observed:
        if place.name == name:
            raise error
        return look(place)

    vars(world.deployer)["observe"] = blind


def with_rollout(world: World, **changes: Any) -> World:
    world.rollout = replace(world.rollout, **changes)
    return world


def to_weight(world: World, version: int, percent: int) -> None:
    """Wake until the version has this weight on the first target."""
    loop = world.worker()
    for _ in range(200):
        if world.serving(world.targets[0].name).get(version) == percent:
            return
        woken = world.wake(loop)
        if not woken.acted:
            world.now = max(world.now, woken.again or world.now)
    raise AssertionError(world.tail())
