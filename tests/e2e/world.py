"""A whole small product on real parts: MLflow's registry, a gateway with its workers, a SQLite ledger."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import deployers
from gateway import control
from tests.e2e.clients import asking
from tests.gateway.world import free_port, wait_until
from tests.loop.world import MODEL
from watcher import config, wiring
from watcher.naming import release_name
from watcher.ports import Line
from watcher.reconcile import Loop, Woken
from watcher.settings import Watched
from watcher.values import Gone, Observed, Release, Rollout, State, Target
from watcher.wiring import App

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE = 60.0
POLL = 0.01
BAKE = 20.0
CANARY = (30, 100)
SKIPPED = frozenset({"leased", "baking", "backoff"})
"""Waits for nothing but a time: the workers' clock is put forward."""

Tapping = Callable[[str, Any], Any]
"""Given the name of a port and the port, what a worker is given instead."""


@dataclass(eq=False)
class Bed:
    """What worlds may share: one registry, one running gateway, and a folder for the rest."""

    folder: Path
    uri: str
    home: Path
    """Of the gateway."""
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def database(self) -> Path | None:
        """The registry's file where it is one, and can be put back to what it was."""
        return Path(self.uri.removeprefix("sqlite:///")) if self.uri.startswith("sqlite") else None

    def fresh(self) -> Path:
        """A folder that nobody used."""
        made = self.folder / str(next(self._numbers))
        made.mkdir()
        return made


@dataclass(frozen=True)
class Saved:
    """A world to be gone back to: copies of its files, and what it served."""

    registry: Path
    ledger: Path
    weights: Mapping[int, int]
    """Version -> percent, of every release there was."""
    skew: float


@dataclass
class World:
    """Parts that outlive any worker, and workers rebuilt from nothing but the file of settings.

    Reads as the world on fakes does, so that the same invariants watch both.
    """

    bed: Bed
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Put over those of the file's only rollout and of `poll`."""

    def __post_init__(self) -> None:
        from mlflow import MlflowClient

        self.port = free_port()
        self.folder = self.bed.fresh()
        self.ledger = self.folder / "ledger.db"
        self.file = self.folder / "watch.yaml"
        self.file.write_text(json.dumps(self._settings()))
        self.skew = 0.0
        self.woken: Woken | None = None
        self.watch: list[Callable[[Any], None]] = []
        self.client: MlflowClient = MlflowClient(tracking_uri=self.bed.uri, registry_uri=self.bed.uri)
        self._app: App | None = None
        self.deployer = Seen(self)

    def _settings(self) -> dict[str, Any]:
        target = {"name": "api", "kind": "local-endpoint", "port": self.port, "gateway": str(self.bed.home)}
        analysis = {"min_requests": 3, "max_error_increase": 0.05, "max_p95_ratio": 1000.0}
        rollout = {"canary": [*CANARY], "bake": f"{BAKE:g}s", "analysis": analysis, "keep_warm": "0s"}
        return {
            "version": 1,
            "owner": "e2e",
            "registry": {"uri": self.bed.uri, "tracking_uri": self.bed.uri},
            "ledger": "sqlite:///ledger.db",
            "poll": {"changes": "0.1s", "marks": "0.1s", "evidence": "0.2s", "resync": "1s"},
            "policies": {"p": {"primary": {"metric": "auc", "min_gain": 0.002}}},
            "rollouts": {"r": {**rollout, "deadline": "24h", **self.settings}},
            "models": [{"name": MODEL, "policy": "p", "rollout": "r", "targets": [target]}],
        }

    # Workers

    def clock(self) -> float:
        """The workers' time: waits for nothing but a time are skipped."""
        return time.time() + self.skew

    def build(self) -> App:
        """Everything a new process has."""
        settings = config.load(self.file, os.environ, shapes=deployers.shape, place=deployers.place)
        return wiring.build(settings, os.environ, clock=self.clock)

    def worker(self, tap: Tapping | None = None) -> Loop:
        """A new process; `tap` may put something in front of each of its ports."""
        loop = self.build().loop
        if tap is None:
            return loop
        registry = tap("registry", loop.sources.registry)
        there = {kind: tap("deployer", loop.sources.deployers[kind]) for kind in loop.sources.deployers}
        sources = replace(loop.sources, registry=registry, evidence=registry, deployers=there)
        return replace(loop, sources=sources, ledger=tap("ledger", loop.ledger))

    def wake(self, loop: Loop) -> Woken:
        """One wake-up; every watcher of the world is asked after each step."""
        woken = loop.wake(self.watched)
        if woken.acted:
            for look in self.watch:
                look(self)
        return woken

    def rest(self, tap: Tapping | None = None, woke: Callable[[Woken], None] | None = None) -> list[str]:
        """A new worker wakes the model until nothing is due; the slots of the steps it took."""
        loop = self.worker(tap)
        steps: list[str] = []
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            woken = self.wake(loop)
            if woke is not None:
                woke(woken)
            if woken.acted:
                steps.append(woken.step.slot)
            elif woken.step.reason == "nothing_to_do":
                return steps
            elif woken.step.reason in SKIPPED and woken.again is not None:
                self.skew += max(woken.again - self.clock(), BAKE if woken.step.reason == "baking" else 0.0, 0.0)
            else:
                time.sleep(POLL)
        raise AssertionError(f"not at rest after {PATIENCE:g} s: {steps[-8:]}, waits for {woken.step}\n{self.tail()}")

    def wipe(self) -> None:
        """Every record is lost; the history is kept."""
        with contextlib.closing(sqlite3.connect(self.ledger)) as database, database:
            database.execute("DELETE FROM record")

    # People

    def train(self, auc: float, artifacts: Path) -> int:
        """Log a model with its metric and register it."""
        from mlflow.exceptions import MlflowException

        with contextlib.suppress(MlflowException):
            self.client.create_registered_model(MODEL)
        location = None if self.bed.uri.startswith("http") else (self.bed.folder / "artifacts").as_uri()
        with contextlib.suppress(MlflowException):
            self.client.create_experiment(MODEL, artifact_location=location)
        found = self.client.get_experiment_by_name(MODEL)
        assert found is not None
        experiment = found.experiment_id
        run = self.client.create_run(experiment).info.run_id
        model_id = str(self.client.create_logged_model(experiment, source_run_id=run).model_id)
        self.client.log_model_artifacts(model_id, str(artifacts))
        self.client.finalize_logged_model(model_id, "READY")
        self.client.log_metric(run, "auc", auc, model_id=model_id)
        version = self.client.create_model_version(MODEL, f"models:/{model_id}", run_id=run, model_id=model_id)
        return int(version.version)

    def crowned(self, auc: float, artifacts: Path) -> int:
        """Train a version and take it all the way to the crown."""
        reigns = self.lines("crowned")
        version = self.train(auc, artifacts)
        with asking(self.port) if reigns else contextlib.nullcontext():
            self.rest()
        assert self.champion() == version, self.tail()
        return version

    def order(self, version: int) -> None:
        """A person moves the alias with plain MLflow."""
        self.client.set_registered_model_alias(MODEL, "champion", str(version))

    # What is seen of it

    @property
    def app(self) -> App:
        """Built once, to look at things; no worker is."""
        self._app = self._app or self.build()
        return self._app

    @property
    def registry(self) -> Any:
        return self.app.registry

    @property
    def watched(self) -> Watched:
        found = self.app.watched(MODEL)
        assert found is not None
        return found

    @property
    def now(self) -> float:
        return self.clock()

    @property
    def rollout(self) -> Rollout:
        return self.watched.rollout

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.watched.targets

    def champion(self) -> int | None:
        champion: int | None = self.registry.read(MODEL).champion
        return champion

    def serving(self) -> dict[int, int]:
        return self.deployer.serving(self.targets[0])

    def lines(self, event: str | None = None) -> list[Line]:
        return list(self.app.ledger.history(MODEL, event=event, newest_first=False, most=100_000))

    def tail(self, most: int = 20) -> str:
        return "\n".join(f"{x.event} {x.target} v{x.version} {x.reason} {x.data}" for x in self.lines()[-most:])

    # There and back

    def saved(self) -> Saved:
        """The world as it is. Only where the registry is a file."""
        assert self.bed.database is not None
        folder = self.bed.fresh()
        target = self.targets[0]
        seen = self.deployer.observe(target)
        _copy(self.bed.database, folder / "registry.db")
        _copy(self.ledger, folder / "ledger.db")
        weights = {r.version: seen.weights.get(r.name, 0) for r in seen.releases}
        return Saved(folder / "registry.db", folder / "ledger.db", weights, self.skew)

    def restore(self, saved: Saved) -> None:
        """Become what was saved, at an endpoint of its own."""
        assert self.bed.database is not None
        _copy(saved.registry, self.bed.database)
        _copy(saved.ledger, self.ledger)
        self.skew = saved.skew
        target, deployer, weights = self.targets[0], self.app.deployer("local-endpoint"), {}
        for number, percent in saved.weights.items():
            version = self.registry.version(MODEL, number)
            assert not isinstance(version, Gone)
            name = release_name(version.identity)
            deployer.launch(Release(target, name, version))
            if percent:
                weights[name] = percent
        wait_until(lambda: all(r.state is State.READY for r in deployer.observe(target).releases))
        deployer.shift(target, weights, deployer.observe(target).token)
        self.deployer.started.clear()

    def close(self) -> None:
        """Leave no worker process on the gateway, and no model in a registry that others use too."""
        target, deployer = self.targets[0], self.app.deployer("local-endpoint")
        seen = deployer.observe(target)
        if seen.weights:
            deployer.shift(target, {}, seen.token)
        for release in seen.releases:
            deployer.retire(target, release.name)
        self.client.delete_registered_model(MODEL)
        shutil.rmtree(self.folder)


def _copy(source: Path, goal: Path) -> None:
    """A database into another, whoever has either of them open."""
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(goal)) as new:
        old.backup(new)


@dataclass
class Seen:
    """The targets of a real world, with the questions that the invariants ask of the fake ones."""

    world: World
    started: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    """(target, identity key) -> pids of every worker process that was seen of it."""
    tokens: dict[str, float] = field(default_factory=dict)
    """Token -> when it was first seen."""

    def observe(self, target: Target) -> Observed:
        return self.world.app.deployer(target.kind).observe(target)

    look = observe

    @property
    def places(self) -> Mapping[str, Any]:
        self.count()
        return {t.place: self._place(self.observe(t)) for t in self.world.targets}

    def _place(self, seen: Observed) -> SimpleNamespace:
        since = self.tokens.setdefault(seen.token, self.world.now)
        return SimpleNamespace(weights=dict(seen.weights), since=since)

    @property
    def launches(self) -> list[tuple[str, str]]:
        """(target, identity key) once for every worker process that was seen."""
        return [what for what, pids in self.started.items() for _ in pids]

    def serving(self, target: Target) -> dict[int, int]:
        seen = self.observe(target)
        return {r.version: seen.weights[r.name] for r in seen.releases if r.name in seen.weights}

    def count(self) -> None:
        """Note the worker processes that there are now."""
        code, told = control.ask(self.world.bed.home, "GET", "/state")
        assert code == 200
        endpoint = told["endpoints"].get(f"port-{self.world.port}", {"releases": {}})
        for release in endpoint["releases"].values():
            if release["pid"] is not None:
                self.started.setdefault(("api", release["key"]), set()).add(release["pid"])
