"""The deployer of batch jobs and streams keeps the contract, with real trials and a real stream at its pointer."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tenacity import stop_after_attempt

import deployers
from deployers.pointer import PointerDeployer, documents
from scoring.delta.stream import Stream
from tests.azurite import Azurite
from tests.contract.deployer_suite import Bench, MakeVersion, OneRelease, WaitUntil
from tests.scoring import world
from tests.scoring.stores import in_store
from watcher.errors import Terminal, Transient
from watcher.ports import Deployer
from watcher.values import Example, Identity, Kind, State, Status, Target, Version

pytestmark = pytest.mark.slow


def version_of(number: int, artifacts: Path) -> Version:
    return Version(
        Identity("prod.model", number, 1_700_000_000_000 + number, str(artifacts)), Status.READY, str(artifacts)
    )


def target_at(pointer: str, **settings: Any) -> Target:
    full = {"pointer": pointer, **settings}
    return Target("live", "stream", Kind.STREAM, "prod.model", "tests", deployers.place("stream", full), full)


class TestOnDisk(OneRelease):
    @pytest.fixture
    def deployer(self) -> Deployer:
        return PointerDeployer(run=world.run_here)

    @pytest.fixture
    def tables(self, tmp_path: Path) -> world.Tables:
        return world.Tables.made(tmp_path)

    @pytest.fixture
    def target(self, tables: world.Tables) -> Target:
        return target_at(tables.pointer, input=tables.input, output=tables.output)

    @pytest.fixture
    def make_version(self) -> MakeVersion:
        return lambda number: version_of(number, world.linear())

    @pytest.fixture
    def broken_version(self, tmp_path: Path) -> Version:
        return version_of(9, tmp_path / "nothing-here")

    @pytest.fixture
    def mend(self, tmp_path: Path) -> Callable[[], object]:
        return lambda: shutil.copytree(world.linear(), tmp_path / "nothing-here")

    @pytest.fixture
    def wait_until(self) -> WaitUntil:
        return world.wait_until

    @pytest.fixture
    def example(self) -> Example:
        return Example(b"{}", rows=1)

    @pytest.fixture
    def traffic(self, tables: world.Tables) -> Callable[[], Any]:
        def come() -> None:
            tables.grow(10)
            tables.score()

        return come

    def test_workers_that_stage_at_the_same_time_lose_none(self, target: Target) -> None:
        untried = replace(target, settings={**target.settings, "trial": "none"})
        workers = [Bench(PointerDeployer(), untried, world.wait_until) for _ in range(8)]
        releases = [bench.release(version_of(n, world.linear())) for n, bench in enumerate(workers, 1)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda pair: pair[0].deployer.launch(pair[1]), zip(workers, releases, strict=True)))
        assert {one.name for one in workers[0].observe().releases} == {release.name for release in releases}


class TestInStore(TestOnDisk):
    """The same in an object store, where a document is replaced under its ETag."""

    @pytest.fixture
    def target(self, tables: world.Tables, pointer: str) -> Target:
        return target_at(pointer, input=tables.input, output=tables.output)

    @pytest.fixture
    def pointer(self, azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> str:
        return f"{in_store(azurite, monkeypatch)}/churn.json"

    @pytest.fixture
    def traffic(self, tables: world.Tables, pointer: str) -> Callable[[], Any]:
        def come() -> None:
            tables.grow(10)
            Stream(replace(tables.options(once=True), pointer=pointer)).run()

        return come

    @pytest.mark.parametrize("others", [1, 3])
    def test_what_others_wrote_meanwhile_is_kept(self, pointer: str, others: int) -> None:
        documents.edit(pointer, overtaken(pointer, others, lambda before: {**before, "mine": True}))
        assert documents.read(pointer).value == {"others": others, "mine": True}

    def test_a_writer_that_never_gets_its_turn_says_so(self, pointer: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(documents, "TURNS", stop_after_attempt(4))
        with pytest.raises(Transient, match=r"churn\.json is written by others all the time"):
            documents.edit(pointer, overtaken(pointer, 100, lambda before: {**before, "mine": True}))
        assert documents.read(pointer).value == {"others": 4}


def overtaken(pointer: str, times: int, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The change, with somebody else who writes the document between its read and its write, that many times."""
    left = iter(range(times))

    def changed(before: Any) -> Any:
        if next(left, None) is not None:
            documents.edit(pointer, lambda there: {"others": (there or {"others": 0})["others"] + 1})
        return change(before or {})

    return changed


@pytest.fixture
def tables(tmp_path: Path) -> world.Tables:
    return world.Tables.made(tmp_path)


@pytest.fixture
def bench(tables: world.Tables) -> Bench:
    target = target_at(tables.pointer, input=tables.input, output=tables.output)
    return Bench(PointerDeployer(run=world.run_here), target, world.wait_until)


def why(bench: Bench, version: Version) -> str:
    """Why a version is refused by its trial."""
    release = bench.failed(version)
    seen = bench.seen(release.name)
    assert seen is not None
    return seen.detail


def test_a_version_whose_libraries_are_missing_where_the_job_runs_is_refused(
    bench: Bench, tables: world.Tables, tmp_path: Path
) -> None:
    there = {"python": "3.11.7", "packages": {"scikit-learn": "0.1"}}
    status = {"format": 1, "at": time.time(), "every": 5.0, "state": "stopped", "environment": there}
    Path(tables.pointer).with_name("churn.status.json").write_text(json.dumps(status))
    needy = tmp_path / "needy"
    shutil.copytree(world.linear(), needy)
    (needy / "requirements.txt").write_text("scikit-learn==1.7.0\n")
    assert why(bench, version_of(3, needy)) == "v3: it needs scikit-learn==1.7.0, and where the job runs there is 0.1."


def test_a_version_that_wants_other_columns_is_refused_by_their_names(bench: Bench) -> None:
    assert "there is no column 'c'" in why(bench, version_of(3, world.linear(1.0, ("a", "c"))))


def test_a_version_that_answers_another_type_than_the_one_before_is_refused(bench: Bench) -> None:
    bench.shift({bench.launched(version_of(1, world.linear())).name: 100})
    texts = world.python_model("texts", "return ['x'] * len(model_input)", output="string")
    said = why(bench, version_of(3, texts))
    assert said == "v3 answers prediction (string), and the version before has prediction (double)"


def test_a_version_that_cannot_score_the_inputs_rows_fails_its_probe(bench: Bench, tables: world.Tables) -> None:
    release = bench.launched(version_of(3, world.python_model("raises", "raise KeyError('bmi')")))
    probe = bench.deployer.probe(release, Example(b"{}"))
    assert (probe.ok, probe.version) == (False, 3)
    assert probe.detail == "v3 cannot score: KeyError: 'bmi'"
    assert not Path(tables.output).exists()


def test_an_input_that_cannot_be_read_says_nothing_of_the_version_until_time_is_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoring.trial.AGAIN", 1_000.0)  # so that the next try would come too late
    target = replace(bench.target, settings={**bench.target.settings, "input": "nowhere"})
    assert "There is no Delta table at nowhere" in why(
        Bench(bench.deployer, target, bench.wait_until), version_of(1, world.linear())
    )
    assert bench.deployer.check(target) == [
        "There is no Delta table at nowhere, so no version can be tried on its rows."
    ]


def test_a_trial_that_was_lost_is_asked_for_again_and_not_for_ever(tables: world.Tables) -> None:
    now = [1_000.0]
    deployer = PointerDeployer(run=lambda _: None, clock=lambda: now[0])
    bench = Bench(deployer, target_at(tables.pointer), world.wait_until)
    release = bench.release(version_of(1, world.linear()))
    for _ in range(3):
        deployer.launch(release)
        assert bench.state(release.name) is State.STARTING
        now[0] += 61.0
    assert bench.state(release.name) is State.FAILED
    deployer.launch(release)
    assert bench.state(release.name) is State.STARTING
    now[0] += 61.0
    assert bench.seen(release.name) is None


def test_a_trial_whose_process_died_is_lost_at_once(tables: world.Tables) -> None:
    bench = Bench(PointerDeployer(run=lambda _: None), target_at(tables.pointer), world.wait_until)
    release = bench.release(version_of(1, world.linear()))
    bench.deployer.launch(release)
    asked = json.loads(Path(tables.pointer).read_text())["releases"][release.name]["trial"]
    gone = {"id": asked["id"], "state": "running", "at": time.time(), "host": socket.gethostname(), "pid": 4_000_000}
    Path(tables.pointer).with_name(f"churn.{release.name}.trial.json").write_text(json.dumps(gone))
    assert bench.seen(release.name) is None


def reporting(tables: world.Tables, **told: Any) -> None:
    status = {"format": 1, "at": time.time(), "every": 5.0, "state": "running", **told}
    Path(tables.pointer).with_name("churn.status.json").write_text(json.dumps(status))


def test_moved_is_not_applied_until_the_stream_says_so(bench: Bench, tables: world.Tables) -> None:
    reporting(tables)
    release = bench.launched(version_of(1, world.linear()))
    token = bench.shift({release.name: 100})
    seen = bench.seen(release.name)
    assert seen is not None
    assert (seen.state, seen.detail) == (State.STARTING, "moved; the stream still has to apply it")
    assert dict(bench.observe().weights) == {release.name: 100}
    reporting(tables, running={"release": release.name, "version": 1, "token": token})
    seen = bench.seen(release.name)
    assert seen is not None
    assert (seen.state, seen.detail) == (State.READY, "")


def test_a_stream_that_does_not_run_is_not_taken_for_failed_and_said(bench: Bench, tables: world.Tables) -> None:
    release = bench.launched(version_of(1, world.linear()))
    token = bench.shift({release.name: 100})
    seen = bench.seen(release.name)
    assert seen is not None
    assert (seen.state, seen.detail) == (State.READY, "moved; no stream runs that could apply it")
    reporting(tables, at=1.0, running={"release": release.name, "version": 1, "token": token})
    seen = bench.seen(release.name)
    assert seen is not None
    assert (seen.state, seen.detail) == (State.READY, "no stream runs now; it was heard at 1970-01-01 00:00:01 UTC")


def test_a_stream_that_ran_and_fell_silent_before_it_applied_a_move_is_waited_for(
    bench: Bench, tables: world.Tables
) -> None:
    release = bench.launched(version_of(1, world.linear()))
    reporting(tables)
    bench.shift({release.name: 100})
    reporting(tables, at=1.0)
    seen = bench.seen(release.name)
    assert seen is not None
    assert seen.state is State.STARTING
    assert "before it could apply it" in seen.detail


def test_a_version_that_the_stream_cannot_score_with_has_failed(bench: Bench, tables: world.Tables) -> None:
    release = bench.launched(version_of(1, world.linear()))
    reporting(tables)
    token = bench.shift({release.name: 100})
    error = {"kind": "version", "release": release.name, "token": token, "message": "v1 cannot score: KeyError: 'bmi'"}
    reporting(tables, error=error)
    seen = bench.seen(release.name)
    assert seen is not None
    assert (seen.state, seen.detail) == (State.FAILED, error["message"])
    reporting(tables, error={**error, "kind": "input"}, running={"token": token})
    assert bench.state(release.name) is State.READY


def test_a_version_that_the_job_scored_with_before_waits_for_no_trial(bench: Bench, tables: world.Tables) -> None:
    release = bench.launched(version_of(1, world.linear()))
    bench.shift({release.name: 100})
    tables.score()
    bench.shift({})
    bench.deployer.retire(bench.target, release.name)
    Bench(PointerDeployer(run=_never), bench.target, bench.wait_until).deployer.launch(release)
    assert bench.state(release.name) is State.READY
    assert bench.deployer.probe(release, Example(b"{}")).detail == "the job scored 20 rows with it before"


def _never(command: Any) -> None:
    raise AssertionError(command)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 2, "owner": "tests"}'])
def test_a_pointer_that_cannot_be_read_is_left_alone_and_said(bench: Bench, tables: world.Tables, content: str) -> None:
    Path(tables.pointer).write_text(content)
    release = bench.release(version_of(1, world.linear()))
    for call in (bench.observe, lambda: bench.deployer.launch(release), lambda: bench.shift({})):
        with pytest.raises(Terminal, match=r"churn\.json is "):
            call()
    assert len(bench.deployer.check(bench.target)) == 1
    assert Path(tables.pointer).read_text() == content


def test_a_trial_runs_in_a_process_of_its_own_and_is_not_waited_for(tmp_path: Path) -> None:
    tables = world.Tables.made(tmp_path)
    bench = Bench(PointerDeployer(), target_at(tables.pointer, input=tables.input), world.wait_until)
    began = time.monotonic()
    release = bench.release(version_of(1, world.linear()))
    bench.deployer.launch(release)
    assert time.monotonic() - began < bench.deployer.lease
    assert bench.state(release.name) == "starting"
    world.wait_until(lambda: bench.state(release.name) != "starting")
    assert bench.state(release.name) == "ready"
    told = json.loads((tmp_path / f"churn.{release.name}.trial.json").read_text())
    assert told["rows"] == world.ROWS
