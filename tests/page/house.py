"""A house full of models in every state, on fakes with one clock, as the page is shown it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from watcher.evaluations import Evaluate, Holdout
from watcher.fakes.deployer import FakeDeployer
from watcher.fakes.evaluator import FakeEvaluator
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.registry import FakeRegistry
from watcher.gather import Sources
from watcher.policy import Approval, Policy, Primary
from watcher.ports import Ledger, Line
from watcher.reconcile import Loop
from watcher.settings import Limits, ModelRule, RegistrySettings, Settings, Watched
from watcher.values import Analysis, Example, Kind, Mode, Rollout, Target

START = 1_790_000_000.0
HOSTILE = "<script>alert(1)</script>/../%2e%2f?&#\"'`;$(id)\n\x1b[31m\u202e{{7*7}}"
NASTY = "<img src=x onerror=alert(2)>\"'><svg onload=alert(3)>\u202e\x00{{7*7}}"
POLICY = Policy(Primary("auc", min_gain=0.002), name="binary", floors={"auc": 0.6}, signature=False)
MEASURED = Policy(
    Primary("roc_auc"), "measured", signature=False, evaluate=Evaluate(Holdout("rows.parquet"), "y", ("roc_auc",))
)
ROLLOUT = Rollout(
    canary=(10, 50, 100), bake=600.0, analysis=Analysis(min_requests=10, max_error_increase=0.05), keep_warm=3_600.0
)


class House:
    """`watcher.views.app.App` on fakes, and what people and training jobs do to it."""

    def __init__(self) -> None:
        self.now = START
        self.registry = FakeRegistry(self.clock)
        self.registry.any_name = True
        self.memory = FakeLedger()
        self.ledger: Ledger = self.memory
        self.deployer = FakeDeployer(self.clock)
        self.evaluator = FakeEvaluator(self.clock)
        self.models: dict[str, Watched] = {}
        registry, moved = self.registry, {"fake": self.deployer}
        sources = Sources(registry, registry, moved, lambda _: Example(b"{}", rows=1), 1, self.evaluator)
        self.loop = Loop(sources, self.memory, Limits(9), self.clock, "w")

    def clock(self) -> float:
        return self.now

    @property
    def settings(self) -> Settings:
        rules = tuple(ModelRule(name, None, w.mode, w.policy.name, "careful", ()) for name, w in self.models.items())
        registry = RegistrySettings("http://127.0.0.1:9", "http://127.0.0.1:9")
        return Settings("prod-eu", registry, "memory", {}, {}, rules, folder=Path())

    def watched(self, model: str) -> Watched | None:
        return self.models.get(model)

    def model(self, name: str, *targets: str, **about: Any) -> str:
        places = tuple(
            Target(t, "fake", Kind.ENDPOINT, name, "prod-eu", f"fake:{name}/{t}") for t in targets or ("api",)
        )
        watched = Watched(name, Mode.DEPLOY, POLICY, ROLLOUT, places)
        self.models[name] = replace(watched, **about)
        return name

    def train(self, name: str, auc: float | None, **facts: Any) -> int:
        self.now += 60.0
        metrics = {} if auc is None else {"auc": auc}
        return self.registry.create_version(name, metrics, example=Example(b"{}", rows=3), **facts)

    def rest(self, name: str, most: int = 400, *, until: Callable[[], bool] = lambda: False) -> None:
        """Wake until nothing is due soon, or until it is as asked for."""
        for _ in range(most):
            if until():
                return
            woken = self.loop.wake(self.models[name])
            self.now += 0.5
            if not woken.acted and (woken.again is None or woken.step.reason in LASTING):
                return
            if not woken.acted and woken.again is not None:
                self.now = max(self.now, woken.again)

    def crowned(self, name: str, auc: float) -> int:
        version = self.train(name, auc)
        self.rest(name)
        assert self.registry.read(name).champion == version
        self.now += 40_000.0
        return version

    def at_share(self, name: str, version: int, percent: int) -> None:
        target = self.models[name].targets[0]
        self.rest(name, until=lambda: self.deployer.serving(target).get(version) == percent)
        assert self.deployer.serving(target).get(version) == percent

    def ask(self, name: str, order: str, version: int | None = None) -> None:
        """The line that the command line writes for an order."""
        stored = self.memory.load(name)
        assert stored is not None
        line = Line(self.now, name, "order_asked", version=version, data={"order": order, "who": "alice"})
        self.memory.save(name, stored.body, stored.revision, (line,), self.now)


LASTING = frozenset({"nothing_to_do", "held", "no_example", "too_few_requests", "not_adopted", "advise_only"})


def lived_once(life: Callable[[House], str]) -> Callable[[House], str]:
    """The life of a model, remembered: into an empty house it is put as it was the first time."""
    made: list[tuple[str, House]] = []

    @functools.wraps(life)
    def into(house: House) -> str:
        if house.models:
            return life(house)
        if not made:
            first = House()
            made.append((life(first), first))
        name, first = made[0]
        house.models, house.now = dict(first.models), first.now
        house.registry.restore(first.registry.snapshot())
        house.memory.restore(first.memory.snapshot())
        house.deployer.restore(first.deployer.snapshot())
        return name

    return into


@lived_once
def churn(house: House) -> str:
    """A long life: champions, losers, broken ones, two rollouts that failed, and an order."""
    name = house.model("prod.risk.churn", "api", "batch-eu")
    house.crowned(name, 0.801)
    house.train(name, 0.795)
    house.rest(name)
    house.crowned(name, 0.822)
    house.train(name, float("nan"))
    house.rest(name)
    mute = house.train(name, 0.84)
    house.deployer.mute[mute] = "shape mismatch: expected 12 columns, got 11"
    house.rest(name)
    house.now += 20_000.0
    failing = house.train(name, 0.851)
    house.deployer.error_share[failing] = 0.2
    house.rest(name)
    house.deployer.error_share.clear()
    house.deployer.mute.clear()
    house.now += 50_000.0
    house.ask(name, "promote", 1)
    house.registry.set_champion(name, 1)
    house.rest(name)
    house.now += 9_000.0
    house.crowned(name, 0.846)
    house.train(name, 0.8465)
    house.rest(name)
    return name


@lived_once
def cards(house: House) -> str:
    """In the middle of a canary on two targets."""
    name = house.model("fraud.cards", "api", "eu")
    house.crowned(name, 0.9)
    version = house.train(name, 0.93)
    house.at_share(name, version, 50)
    house.rest(name, 3)
    house.now += 200.0
    return name


def fill(house: House) -> Mapping[str, str]:
    """Every state that the page has a face for; the names by what they are."""
    found = {"rich": churn(house), "back": rolled_back(house), "unmet": unmet(house), "foreign": foreign(house)}
    found |= {"hostile": hostile(house), "many": many(house), "advise": advise(house), "approval": approval(house)}
    found |= {"empty": house.model("new.model"), "held": held(house), "quiet": quiet(house), "mid": cards(house)}
    return found


def rolled_back(house: House) -> str:
    name = house.model("pricing.elasticity")
    house.crowned(name, 0.7)
    version = house.train(name, 0.9)
    house.deployer.p95_ms[version] = 80.0
    house.rest(name)
    house.deployer.p95_ms.clear()
    return name


def unmet(house: House) -> str:
    name = house.model("claims.severity")
    house.crowned(name, 0.7)
    house.crowned(name, 0.75)
    house.deployer.broken[1] = "ModuleNotFoundError: No module named 'legacy_features'"
    house.now += 90_000.0
    house.rest(name)
    house.registry.set_champion(name, 1)
    house.rest(name, 60)
    house.deployer.broken.clear()
    return name


def foreign(house: House) -> str:
    name = house.model("search.ranking")
    house.train(name, 0.8)
    house.deployer.foreign(house.models[name].targets[0], "hand-made", 7)
    house.rest(name, 20)
    return name


def hostile(house: House) -> str:
    """Every text that comes from outside is written by an enemy."""
    name = house.model(HOSTILE, NASTY)
    house.crowned(name, 0.7)
    version = house.train(name, 0.8)
    house.deployer.mute[version] = NASTY
    house.rest(name)
    house.deployer.mute.clear()
    house.registry.hold(name, NASTY)
    house.train(name, 0.9)
    house.ask(name, NASTY, 1)
    house.rest(name, 20)
    return name


def many(house: House) -> str:
    name = house.model("recommend.homepage")
    house.crowned(name, 0.71)
    for index in range(70):
        house.train(name, 0.70 + (index * 37 % 23) / 1000 - 0.02)
        house.rest(name, 12)
    return name


def advise(house: House) -> str:
    name = house.model("churn.next", mode=Mode.ADVISE)
    house.train(name, 0.8)
    house.rest(name, 20)
    return name


def approval(house: House) -> str:
    name = house.model("credit.limit", policy=replace(POLICY, approval=Approval("approved_by")))
    version = house.train(name, 0.8)
    house.registry.approve(name, version, "approved_by", "bob")
    house.rest(name)
    house.train(name, 0.85)
    house.rest(name, 10)
    return name


def held(house: House) -> str:
    name = house.model("support.triage")
    house.crowned(name, 0.8)
    version = house.train(name, 0.85)
    house.at_share(name, version, 10)
    house.registry.hold(name, "alice: waiting for the incident review")
    house.rest(name, 20)
    return name


def quiet(house: House) -> str:
    """A canary to which hardly anybody speaks."""
    name = house.model("ops.capacity", rollout=replace(ROLLOUT, analysis=Analysis(min_requests=10**9)))
    house.crowned(name, 0.8)
    version = house.train(name, 0.85)
    house.at_share(name, version, 10)
    house.rest(name)
    return name
