"""The kinds of world that schedules run in."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tests.loop.world import KINDS, POLICY, ROLLOUT
from watcher.evaluations import Evaluate, Holdout
from watcher.policy import Approval, EvidenceRules, Policy
from watcher.settings import Watched
from watcher.values import Mode, Rollout, Target

MODELS = ("prod.risk.churn", "prod.risk.fraud", "prod.ads.click")
PLACES = (
    ("fake",),
    ("fake", "fake"),
    ("fake", "fake-batch"),
    ("fake-batch", "fake-stream"),
    ("fake", "fake", "fake-stream"),
)
APPROVAL = "approved_by"


@dataclass(frozen=True, slots=True)
class Setup:
    """What does not change while a schedule runs."""

    models: tuple[Watched, ...]
    atomic: bool
    staleness: float
    rollouts_at_once: int
    skews: tuple[float, float, float]
    """Seconds by which each process's clock is ahead."""


def setup(number: int) -> Setup:
    """One of the kinds of world; the same number gives the same."""
    chance = random.Random(number)
    several = number % 4 == 3
    atomic = number % 2 == 0
    names = MODELS if several else MODELS[:1]
    skew = 2.0 if number % 3 == 2 else 0.0
    return Setup(
        tuple(_mirrored(_evaluated(_watched(name, chance, plain=number % 6 == 0), number), number) for name in names),
        atomic,
        chance.choice((0.0, 5.0)),
        chance.choice((1, 2)) if several else 1,
        (0.0, skew, -skew),
    )


def _watched(name: str, chance: random.Random, *, plain: bool) -> Watched:
    kinds = chance.choice(PLACES)
    targets = tuple(_target(name, kind, index) for index, kind in enumerate(kinds))
    return Watched(name, Mode.DEPLOY, POLICY if plain else _policy(chance), _rollout(chance), targets)


def _evaluated(watched: Watched, number: int) -> Watched:
    """In each fifth world every version is scored first; what is logged still decides, so that all checks hold."""
    if number % 5 != 1:
        return watched
    evaluate = Evaluate(Holdout("holdout.parquet"), "y", ("roc_auc",))
    return replace(watched, policy=replace(watched.policy, evaluate=evaluate))


def _mirrored(watched: Watched, number: int) -> Watched:
    """In each third world a challenger answers copies of requests before its canary."""
    return replace(watched, rollout=replace(watched.rollout, mirror=20)) if number % 3 == 2 else watched


def _target(model: str, kind: str, index: int) -> Target:
    name = f"{kind.removeprefix('fake-').replace('fake', 'api')}{index}"
    return Target(name, kind, KINDS[kind], model, "test", f"{kind}:{model}:{name}")


def _policy(chance: random.Random) -> Policy:
    approval = chance.choice((None, None, None, Approval(APPROVAL, expires=chance.choice((None, 300.0)))))
    age = chance.choice((0.0, 0.0, 30.0))
    return replace(POLICY, approval=approval, min_age=age, evidence=EvidenceRules(wait_at_most=200.0))


def _rollout(chance: random.Random) -> Rollout:
    analysis = replace(ROLLOUT.analysis, no_traffic=chance.choice(("wait", "probe")))
    canary = chance.choice(((10, 50, 100), (100,), (25, 100)))
    warm, deadline = chance.choice((0.0, 60.0, 5_000.0)), chance.choice((300.0, 3_600.0))
    return replace(ROLLOUT, canary=canary, analysis=analysis, keep_warm=warm, deadline=deadline)
