"""The world of the loop's own tests with its targets in a local Azure: an online and a batch endpoint."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deployers.azureml.batch import AzureBatch
from deployers.azureml.endpoints import AzureEndpoints
from deployers.azureml.online import AzureOnline
from tests.azureml import house
from tests.azureml.cloud import Cloud
from tests.loop.tap import Tap
from tests.loop.world import LASTING, MODEL, ROLLOUT, World
from watcher.gather import Sources
from watcher.reconcile import Loop
from watcher.values import Analysis, Example

ONLINE, BATCH = "churn-api", "churn-nightly"
CAREFUL = replace(
    ROLLOUT,
    canary=(10, 100),
    bake=180.0,
    analysis=Analysis(min_requests=10, max_error_increase=0.05),
    keep_warm=600.0,
    deadline=14_400.0,
)
COUNTED = frozenset({"baking", "traffic_unknown", "too_few_requests"})
"""Waits during which clients call the endpoint."""
HOST_EVERY = 15.0
"""Seconds between two looks at what is under way, at least: those in between would find, and say, the same."""


@dataclass
class Saved:
    """A world at one moment, and its cloud."""

    marks: Any
    ledger: Any
    cloud: dict[str, Any]
    now: float


@dataclass
class OnAzure(World):
    """Workers come and go; cloud, registry and ledger stay."""

    cloud: Cloud = field(default_factory=Cloud)
    models: Path = Path()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.now = self.cloud.now
        self._moved: dict[str, AzureEndpoints] = {
            "azureml-online": AzureOnline(None, clock=self.clock, sleep=self._sleep),
            "azureml-batch": AzureBatch(None, clock=self.clock, sleep=self._sleep),
        }

    def clock(self) -> float:
        self.cloud.now = max(self.cloud.now, self.now)
        self.now = self.cloud.now
        return self.now

    def _sleep(self, seconds: float) -> None:
        self.cloud.sleep(seconds)
        self.clock()

    def worker(self, **ports: Any) -> Loop:
        """A new process; `at` is called before and after each call of a port. It keeps what took long to import."""
        at: Callable[[str, str], None] = ports.get("at", lambda _verb, _when: None)
        moved = {kind: Tap(deployer, at) for kind, deployer in self._moved.items()}
        registry, name = Tap(self.registry, at), f"w{next(self._workers)}"
        sources = Sources(registry, registry, moved, lambda _: Example(house.EXAMPLE.body, rows=1), 1)
        return Loop(sources, Tap(self.ledger, at), self.limits, self.clock, name, evidence_every=5.0)

    def train(self, auc: float | None = None, **facts: Any) -> int:
        number = len(self.registry.versions(MODEL, 0)) + 1 if self.registry.read(MODEL).exists else 1
        files = house.model_files(self.models, number)
        self.now += 1.0
        metrics = {} if auc is None else {"auc": auc}
        example = Example(house.EXAMPLE.body, rows=1)
        return self.registry.create_version(MODEL, metrics, source=str(files), example=example, **facts)

    def wake(self, loop: Loop | None = None) -> Any:
        self.woken = woken = (loop or self.worker()).wake(self.watched)
        self.now = self.clock() + self.step_seconds
        for look in self.watch:
            look(self)
        return woken

    def rest(self, loop: Loop | None = None, most: int = 400, until: float | None = None) -> list[str]:
        loop = loop or self.worker()
        steps: list[str] = []
        for _ in range(most):
            woken = self.wake(loop)
            if woken.acted:
                steps.append(woken.step.slot)
            elif woken.step.reason in COUNTED and ONLINE in self.cloud.endpoints:
                self.cloud.clients(ONLINE, 60.0, a_minute=60)
                self.now = self.cloud.now
            elif woken.again is None or woken.step.reason in LASTING:
                return steps
            else:
                self.now = max(self.now + HOST_EVERY, woken.again)
        raise AssertionError(f"not at rest after {most} wake-ups: {self.tail(20)}")

    def live(self) -> dict[str, dict[int, int]]:
        """Version -> percent on each endpoint, as clients meet it."""
        found = {}
        self.clock()
        for name in (ONLINE, f"batch/{BATCH}"):
            if name in self.cloud.endpoints:
                there = self.cloud.endpoints[name].deployments
                traffic = self.cloud.traffic(name)
                found[name] = {int(there[each].body["tags"]["watcher.version"]): n for each, n in traffic.items()}
        return found

    def deployed(self) -> dict[str, list[int]]:
        """Versions on each endpoint."""
        return {
            name: sorted(int(each.body["tags"]["watcher.version"]) for each in there.deployments.values())
            for name, there in self.cloud.endpoints.items()
        }

    def saved(self) -> Saved:
        kept = {name: copy.deepcopy(getattr(self.cloud, name)) for name in _KEPT}
        return Saved(self.registry.snapshot(), self.ledger.snapshot(), kept, self.clock())

    def back_to(self, saved: Saved) -> None:
        """Become what was saved. Time runs on, in the cloud too: tokens and figures of it are by its clock."""
        self.registry.restore(saved.marks)
        self.ledger.restore(saved.ledger)
        for name, value in saved.cloud.items():
            setattr(self.cloud, name, copy.deepcopy(value))
        self.cloud.faults.clear()
        self.cloud.now = self.now = saved.now
        for deployer in self._moved.values():
            if isinstance(deployer, AzureOnline):
                deployer._metrics = type(deployer._metrics)()  # noqa: SLF001 - a new process has none
        self._workers = itertools.count(1)


_KEPT = ("endpoints", "operations", "jobs", "assets", "blobs", "broken", "scoring_errors", "scoring_ms")


def on_azure(cloud: Cloud, models: Path) -> OnAzure:
    targets = (
        replace(house.target_at(ONLINE), model=MODEL, owner="test"),
        replace(house.batch_target_at(BATCH), model=MODEL, owner="test"),
    )
    return OnAzure(targets, rollout=CAREFUL, atomic=False, cloud=cloud, models=models)
