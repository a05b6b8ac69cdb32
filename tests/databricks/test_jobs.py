"""Databricks jobs as targets: one parameter is moved, and nothing else of the job changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import deployers
from deployers.databricks import jobs
from deployers.databricks.jobs import DatabricksJobs
from tests.databricks.control_plane import TOKEN, Workspace, serving
from tests.databricks.target_world import MODEL, TargetWorld, version_of
from watcher.errors import Conflict, Terminal, Transient, UserError, WatcherError
from watcher.values import Example, Kind, State, Target, Wrote

EXAMPLE = Example(b"{}")
JOB = 421


class World(TargetWorld):
    """A workspace with one job, and the deployer of it."""

    def __init__(self, workspace: Workspace, kind: str) -> None:
        self.workspace, self.jobs = workspace, workspace.jobs
        self.stream = kind == "databricks-stream"
        self.deployer = DatabricksJobs(kind, stream=self.stream)
        self.jobs.make(JOB, continuous=self.stream)
        self.jobs.make(7)
        settings = {"host": workspace.url, "job_id": JOB, "parameter": "model_uri", "trial": {"job_id": 7}}
        place = deployers.place(kind, settings)
        self.target = Target("nightly", kind, Kind.STREAM if self.stream else Kind.BATCH, MODEL, "us", place, settings)

    @property
    def looks(self) -> int:
        return 3 * self.jobs.looks

    @property
    def parameters(self) -> dict[str, str]:
        return {p.name: p.default for p in self.jobs.settings[JOB].parameters or []}

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.jobs.settings[JOB].tags or {})


@pytest.fixture(params=["databricks-job", "databricks-stream"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    with serving(Workspace()) as workspace:
        yield World(workspace, request.param)


def whole_life(world: World) -> None:
    """From a job that scores with a version chosen by hand to our second version, and back."""
    deployer, fake = world.deployer, world.jobs
    fake.runs.clear()
    fake.make(JOB, continuous=world.stream, pointer=f"models:/{MODEL}/1")
    world.settled()
    assert not world.observe().adopted
    with pytest.raises(Conflict):
        deployer.launch(world.release(2))
    deployer.adopt(world.target, version_of(1))
    assert world.observe().adopted
    two = world.release(2).name
    deployer.launch(world.release(2))
    starting = world.observe().release(two)
    assert starting is not None
    assert starting.state is State.STARTING, "a trial run is started, not awaited"
    with pytest.raises(Conflict):
        deployer.shift(world.target, {two: 100}, world.observe().token)
    deployer.launch(world.release(2))
    assert len(fake.active(7)) == 1, "launched twice, tried once"
    seen = world.settled()
    assert dict(seen.weights) == {"foreign-v1": 100}
    assert deployer.probe(world.release(2), EXAMPLE).version == 2
    runs = len(fake.cancelled)
    before = seen.token
    deployer.shift(world.target, {two: 100}, before)
    if world.stream:
        assert dict(world.observe().weights) == {"foreign-v1": 100}, "the active run scores with what it was given"
        with pytest.raises(Transient):
            deployer.shift(world.target, {two: 100}, world.observe().token)
    seen = world.settled()
    assert dict(seen.weights) == {two: 100}
    assert seen.token != before
    assert len(fake.cancelled) - runs == (1 if world.stream else 0), "a run is ended once"
    if world.stream:
        assert fake.given(JOB) == [f"models:/{MODEL}/2"]
    with pytest.raises(Conflict):
        deployer.shift(world.target, {two: 100}, before)
    with pytest.raises(Conflict):
        deployer.retire(world.target, two)
    three = world.launched(3)
    deployer.retire(world.target, three)
    assert world.observe().release(three) is None
    assert world.parameters == {"model_uri": f"models:/{MODEL}/2", "table": "ml.features"}
    assert world.tags["team"] == "risk"


def test_a_job_made_by_hand_is_adopted_and_keeps_everything_else(world: World) -> None:
    whole_life(world)


def _loses_a_foreign_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    read = DatabricksJobs._read  # noqa: SLF001 - a fault is put where it would be

    def short(self: DatabricksJobs, target: Target) -> Any:
        seen = read(self, target)
        return replace(seen, parameters={"model_uri": seen.pointer})

    monkeypatch.setattr(DatabricksJobs, "_read", short)


def _loses_a_foreign_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    read = DatabricksJobs._read  # noqa: SLF001 - a fault is put where it would be

    def short(self: DatabricksJobs, target: Target) -> Any:
        seen = read(self, target)
        return replace(seen, tags={tag: value for tag, value in seen.tags.items() if tag.startswith("watcher_")})

    monkeypatch.setattr(DatabricksJobs, "_read", short)


def _trusts_the_pointer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabricksJobs, "_serving", lambda _self, seen, _target: seen.pointer)


def _tries_at_every_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabricksJobs, "_state", lambda *_: (State.FAILED, ""))


def _awaits_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabricksJobs, "_state", lambda *_: (State.READY, ""))


def _ends_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_ending", lambda _run: False)


def _never_ends_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabricksJobs, "_restart", lambda *_: None)


def _ignores_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs._Seen, "token", property(lambda _seen: "always"))  # noqa: SLF001 - as above


def _needs_no_adoption(monkeypatch: pytest.MonkeyPatch) -> None:
    read = DatabricksJobs._read  # noqa: SLF001 - a fault is put where it would be

    def mine(self: DatabricksJobs, target: Target) -> Any:
        seen = read(self, target)
        return replace(seen, tags={**seen.tags, jobs.OWNER: target.owner, jobs.MODEL: target.model})

    monkeypatch.setattr(DatabricksJobs, "_read", mine)


ENDS = [_trusts_the_pointer, _ends_runs_again, _never_ends_a_run]
"""Faults that only a stream can show."""
FAULTS = [
    _loses_a_foreign_parameter,
    _loses_a_foreign_tag,
    _tries_at_every_launch,
    _awaits_no_trial,
    _ignores_the_token,
    _needs_no_adoption,
]


@pytest.mark.parametrize("fault", [*FAULTS, *ENDS], ids=lambda fault: str(fault.__name__).strip("_").replace("_", " "))
@pytest.mark.parametrize("world", ["databricks-stream"], indirect=True)
def test_a_deployer_with_a_fault_does_not_live_through_it(
    fault: Callable[[pytest.MonkeyPatch], None], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    with pytest.raises((AssertionError, WatcherError, KeyError, pytest.fail.Exception)):
        whole_life(world)


def test_a_version_whose_trial_run_fails_says_why_and_is_tried_again_when_launched_again(world: World) -> None:
    world.jobs.broken["2"] = "ModuleNotFoundError: lightgbm"
    two = world.launched(2)
    failed = world.observe().release(two)
    assert failed is not None
    assert failed.state is State.FAILED
    assert "lightgbm" in failed.detail
    world.jobs.broken.clear()
    world.launched(2)
    ready = world.observe().release(two)
    assert ready is not None
    assert ready.state is State.READY


def test_a_shift_that_died_before_it_ended_the_run_is_finished(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    if not world.stream:
        return
    two = world.launched(2)
    with monkeypatch.context() as patch:
        patch.setattr(DatabricksJobs, "_restart", lambda *_: None)
        world.shift({two: 100})
    assert dict(world.observe().weights) == {}
    assert dict(world.shift({two: 100}).weights) == {two: 100}


def test_of_a_version_that_is_off_it_is_told_when_and_where_its_runs_wrote(world: World) -> None:
    one, two = world.launched(1), world.launched(2)
    world.shift({one: 100})
    if not world.stream:
        for _ in range(2):
            world.jobs.make_run(JOB)
        while active := world.jobs.active(JOB):
            world.jobs.answer("runs/get", {"run_id": active[0].run_id}, 0.0)
    seen = world.observe().release(one)
    assert seen is not None
    assert seen.wrote is None, "it may write on"
    world.shift({two: 100})
    seen, other = world.observe().release(one), world.observe().release(two)
    assert seen is not None
    assert other is not None
    runs = [run for run in world.jobs.runs.values() if run.job_id == JOB and run.end_time and _given(run, 1)]
    times = ((runs[0].start_time or 0) / 1_000, (runs[-1].end_time or 0) / 1_000)
    folders = () if world.stream else tuple(f"run={run.run_id}" for run in runs)
    assert seen.wrote == Wrote(None, *times, "the output of the job 421", folders)
    assert other.wrote is None


def _given(run: Any, version: int) -> bool:
    return any((p.value or p.default) == f"models:/{MODEL}/{version}" for p in run.job_parameters)


def test_two_watchers_do_not_share_a_job(world: World) -> None:
    one = world.launched(1)
    other = replace(world.target, owner="somebody-else")
    assert "us" in (world.deployer.observe(other).problem or "")
    with pytest.raises(Terminal):
        world.deployer.launch(replace(world.release(2), target=other))
    with pytest.raises(Terminal):
        world.deployer.shift(other, {one: 100}, world.observe().token)
    with pytest.raises(Terminal):
        world.deployer.retire(other, one)


def test_a_job_runs_one_version(world: World) -> None:
    one, two = world.launched(1), world.launched(2)
    with pytest.raises(Terminal, match="one version"):
        world.shift({one: 50, two: 50})
    assert world.parameters["model_uri"] == ""


def test_a_job_or_a_parameter_that_is_not_there_is_named(world: World) -> None:
    settings = dict(world.target.settings)
    nowhere = replace(world.target, settings={**settings, "job_id": 99})
    assert "99" in next(iter(world.deployer.check(nowhere)))
    misspelt = replace(world.target, settings={**settings, "parameter": "modeluri"})
    assert "model_uri, table" in next(iter(world.deployer.check(misspelt)))
    with pytest.raises(UserError, match="job_id"):
        deployers.place("databricks-job", {"job_id": "421", "parameter": "model_uri"})


def test_a_job_without_a_trial_is_staged_at_once_and_says_so(world: World) -> None:
    world.target = replace(world.target, settings={k: v for k, v in world.target.settings.items() if k != "trial"})
    world.deployer.launch(world.release(1))
    probe = world.deployer.probe(world.release(1), EXAMPLE)
    assert (probe.ok, probe.version) == (True, 1)
    assert "trial" in probe.detail
