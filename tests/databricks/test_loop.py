"""The loop on three Databricks targets: an endpoint, a batch job and a stream move as one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import deployers
from deployers.databricks.jobs import DatabricksJobs
from deployers.databricks.serving import DatabricksServing
from tests.databricks.control_plane import TOKEN, Workspace, serving
from tests.loop.tap import Tap
from tests.loop.world import MODEL, Died, Listed, World
from watcher.gather import Sources
from watcher.reconcile import Loop
from watcher.values import Example, Kind, Observed, Target

BATCH, STREAM, TRIAL = 11, 12, 13
SHAPES = {"databricks-serving": Kind.ENDPOINT, "databricks-job": Kind.BATCH, "databricks-stream": Kind.STREAM}


class OnDatabricks(World):
    """The world of the loop's own tests, with its targets in a workspace."""

    workspace: Workspace

    def worker(self, **ports: Any) -> Loop:
        """A new process; `at` is called before and after each call of a port."""
        at: Callable[[str, str], None] = ports.get("at", lambda _verb, _when: None)
        found: dict[str, Any] = {
            "databricks-serving": Tap(DatabricksServing(now=self.clock), at),
            "databricks-job": Tap(DatabricksJobs("databricks-job"), at),
            "databricks-stream": Tap(DatabricksJobs("databricks-stream", stream=True), at),
        }
        registry, name = Tap(self.registry, at), f"w{next(self._workers)}"
        sources = Sources(registry, Listed(self.registry, registry), found, lambda _: Example(b"{}", rows=1), 1)
        return Loop(sources, Tap(self.ledger, at), self.limits, self.clock, name, evidence_every=5.0)

    def observe(self, name: str) -> Observed:
        target = next(target for target in self.targets if target.name == name)
        return self.worker().sources.deployers[target.kind].observe(target)

    def live(self) -> dict[str, dict[int, int]]:
        """Version -> percent on each target, as observed."""
        found = {}
        for target in self.targets:
            seen = self.observe(target.name)
            versions = {release.name: release.version for release in seen.releases}
            found[target.name] = {versions[name]: percent for name, percent in seen.weights.items()}
        return found

    def goes_on(self, failing: int | None = None, loop: Loop | None = None, most: int = 400) -> None:
        """Wake until nothing is due, with requests coming in all the time."""
        loop = loop or self.worker()
        for _ in range(most):
            woken = self.wake(loop)
            self.workspace.now = self.now
            if woken.acted:
                continue
            if woken.again is None or woken.step.reason == "nothing_to_do":
                return
            self.now = max(self.now, woken.again)
            if woken.step.reason in {"baking", "traffic_unknown", "too_few_requests"}:
                self.workspace.now = self.now
                self.workspace.traffic(requests=1000, failing=failing)
                self.now = self.workspace.now
        raise AssertionError(self.tail(30))


@contextmanager
def made() -> Iterator[OnDatabricks]:
    with serving(Workspace()) as workspace:
        workspace.jobs.make(BATCH)
        workspace.jobs.make(STREAM, continuous=True)
        workspace.jobs.make(TRIAL)
        jobs = {"parameter": "model_uri", "trial": {"job_id": TRIAL}}
        given: dict[str, dict[str, Any]] = {
            "databricks-serving": {"endpoint": "churn"},
            "databricks-job": {"job_id": BATCH, **jobs},
            "databricks-stream": {"job_id": STREAM, **jobs},
        }
        targets = tuple(
            Target(
                kind,
                kind,
                shape,
                MODEL,
                "test",
                deployers.place(kind, given[kind]),
                {"host": workspace.url, **given[kind]},
            )
            for kind, shape in SHAPES.items()
        )
        world = OnDatabricks(targets, atomic=False, now=workspace.now)
        world.workspace = workspace
        yield world


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)


@pytest.fixture
def world() -> Iterator[OnDatabricks]:
    with made() as world:
        yield world


def everywhere(version: int) -> dict[str, dict[int, int]]:
    return {kind: {version: 100} for kind in SHAPES}


def test_a_winner_moves_all_three_and_a_bad_canary_none(world: OnDatabricks) -> None:
    one = world.train(0.8)
    world.goes_on()
    assert (world.champion(), world.live()) == (one, everywhere(one)), world.tail()
    two = world.train(0.9)
    world.goes_on()
    assert (world.champion(), world.live()) == (two, everywhere(two)), world.tail()
    assert world.workspace.jobs.given(STREAM) == [f"models:/{MODEL}/{two}"]
    three = world.train(0.95)
    world.goes_on(failing=three)
    assert (world.champion(), world.live()) == (two, everywhere(two)), world.tail()
    assert str(world.call(three)) == "rolled_back"


def test_a_version_whose_trial_run_fails_on_one_job_goes_back_everywhere(world: OnDatabricks) -> None:
    one = world.train(0.8)
    world.goes_on()
    two = world.train(0.9)
    world.workspace.jobs.broken[str(two)] = "ModuleNotFoundError: lightgbm"
    world.goes_on()
    assert (world.champion(), world.live()) == (one, everywhere(one)), world.tail()
    assert str(world.call(two)) == "rolled_back"
    assert any("lightgbm" in str(line.data) for line in world.lines()), world.tail()


def test_a_person_orders_the_old_version_back_everywhere(world: OnDatabricks) -> None:
    one = world.train(0.8)
    world.goes_on()
    world.train(0.9)
    world.goes_on()
    world.registry.set_alias(MODEL, "champion", one)
    world.goes_on()
    assert world.live() == everywhere(one), world.tail()


def dies(world: OnDatabricks, place: int) -> bool:
    """Let a worker live up to its port call number `place`; whether it died there."""
    calls = itertools.count()

    def at(_verb: str, _when: str) -> None:
        if next(calls) == place:
            raise Died

    try:
        world.goes_on(loop=world.worker(at=at))
    except Died:
        return True
    return False


def survives(place: int) -> bool:
    """v2 replaces v1 although a worker dies at this port call; whether there was such a call."""
    with made() as world:
        world.train(0.8)
        world.goes_on()
        two = world.train(0.9)
        died = dies(world, place)
        world.now += 1_000
        world.goes_on()
        assert (world.champion(), world.live()) == (two, everywhere(two)), f"died at {place}\n{world.tail()}"
        runs = len(world.workspace.jobs.cancelled)
        assert runs == 2, f"a run was ended more than once for a version, dying at {place}"
    return died


@pytest.mark.parametrize("place", range(3, 500, 83))
def test_a_worker_that_dies_leaves_nothing_half_done(place: int) -> None:
    survives(place)


@pytest.mark.long
def test_a_worker_may_die_at_every_port_call() -> None:
    place = 0
    while survives(place):
        place += 1
    assert place > 100
