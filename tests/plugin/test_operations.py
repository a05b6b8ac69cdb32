"""What blocks is left alone and observed; what was cut short goes on; what is not ours is not touched."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deployers.mlflow_plugin import REFUSED, PluginDeployer
from deployers.mlflow_plugin.names import own
from tests.contract.deployer_suite import Bench
from tests.plugin import world
from tests.plugin.world import Patient, Zygote, calls, deployed, elsewhere, eventually, model, target_at
from watcher.errors import Conflict, Terminal, Transient, UnderWay
from watcher.values import State, Target

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(tmp_path: Path, zygote: Zygote) -> Bench:
    return Bench(Patient(run=zygote), target_at(tmp_path), eventually)


def block(target: Target, verb: str) -> Path:
    """Let the plugin hang in a verb until the file is gone."""
    file = elsewhere(target) / f"blocked-{verb}"
    file.touch()
    return file


def at_work(target: Target) -> list[int]:
    """Processes that carry out an operation of this target: they have its log open."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                log = (process / "fd" / "1").readlink()
            except OSError:
                continue
            if str(log).startswith(str(target.settings["state"])):
                found.append(int(process.name))
    return found


def kill(target: Target) -> None:
    (process,) = at_work(target)
    os.kill(process, signal.SIGKILL)
    eventually(lambda: is_over(process))


def is_over(process: int) -> bool:
    """Whether all that it had open is closed, its lock too: each of its threads is gone, or it is a zombie without any.

    The first thread is a zombie as soon as it has ended itself, while others still have the files.
    """
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        told = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True
    return len(threads) <= 1 and told.rpartition(")")[2].split()[0] in "ZX"


def test_no_verb_waits_for_a_plugin_that_blocks(tmp_path: Path, bench: Bench) -> None:
    bench.observe()
    blocked = block(bench.target, "wait")
    began = time.monotonic()
    impatient = PluginDeployer(run=bench.deployer._run)  # type: ignore[attr-defined]  # noqa: SLF001 - the same processes
    release = bench.release(model(tmp_path, 1))
    impatient.launch(release)
    impatient.launch(release)
    seen = impatient.observe(bench.target).release(release.name)
    assert seen is not None
    assert seen.state is State.STARTING
    assert time.monotonic() - began < 2.0
    blocked.unlink()
    eventually(lambda: bench.state(release.name) is State.READY)
    created = [call for call in calls(bench.target) if call.startswith("create")]
    assert created == [f"create {own(bench.target, release.name)}"]


def test_a_launch_that_was_killed_in_the_middle_is_launched_again_and_ends_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By processes as they are started in earnest."""
    target = target_at(tmp_path)
    bench = Bench(Patient(None), target, eventually)
    release = bench.release(model(tmp_path, 1))
    blocked = block(target, "wait")
    bench.deployer.launch(release)
    there = own(target, release.name)
    eventually(lambda: there in deployed(target))
    kill(target)
    blocked.unlink()
    assert deployed(target) == {there: ""}, "half of it is there"
    assert bench.seen(release.name) is None
    bench.deployer.launch(release)
    eventually(lambda: bench.state(release.name) is State.READY)
    assert deployed(target) == {there: release.version.artifact_uri}
    assert capfd.readouterr() == ("", ""), "the plugin printed"


def test_a_launch_that_is_killed_again_and_again_fails_in_the_end(tmp_path: Path, bench: Bench) -> None:
    release = bench.release(model(tmp_path, 1))
    block(bench.target, "create")
    for _ in range(2):
        bench.deployer.launch(release)
        eventually(lambda: bool(at_work(bench.target)))
        kill(bench.target)
        assert bench.seen(release.name) is None
    bench.deployer.launch(release)
    eventually(lambda: bool(at_work(bench.target)))
    kill(bench.target)
    seen = bench.seen(release.name)
    assert seen is not None
    assert (seen.state, "ended 3 times" in seen.detail) == (State.FAILED, True)


def test_a_switch_that_was_killed_leaves_nothing_that_is_known_to_serve_until_it_is_repeated(
    tmp_path: Path, bench: Bench
) -> None:
    one, two = bench.launched(model(tmp_path, 1)), bench.launched(model(tmp_path, 2))
    bench.shift({one.name: 100})
    blocked = block(bench.target, "update")
    deployer = PluginDeployer(run=bench.deployer._run)  # type: ignore[attr-defined]  # noqa: SLF001 - the same processes
    deployer.shift(bench.target, {two.name: 100}, bench.observe().token)
    moving = bench.observe()
    assert (dict(moving.weights), moving.moving) == ({one.name: 100}, True)
    with pytest.raises(Transient):
        deployer.shift(bench.target, {one.name: 100}, moving.token)
    eventually(lambda: f"update {bench.target.settings['deployment']}" in calls(bench.target))
    kill(bench.target)
    blocked.unlink()
    cut = bench.observe()
    assert (dict(cut.weights), cut.moving) == ({}, False)
    bench.shift({one.name: 100})
    assert deployed(bench.target)["churn"] == one.version.artifact_uri


def test_a_switch_that_the_plugin_refuses_fails_its_release_in_the_plugins_words(tmp_path: Path, bench: Bench) -> None:
    one, two = bench.launched(model(tmp_path, 1)), bench.launched(model(tmp_path, 2))
    bench.shift({one.name: 100})
    (elsewhere(bench.target) / "refused-update").write_text("no quota for\nit, password=hunter2hunter2")
    bench.shift({two.name: 100})
    seen = bench.seen(two.name)
    assert seen is not None
    assert seen.state is State.FAILED
    assert "no quota for it" in seen.detail.replace("\\n", " ")
    assert "hunter2hunter2" not in seen.detail
    (elsewhere(bench.target) / "refused-update").unlink()
    assert bench.state(one.name) is State.READY
    bench.shift({one.name: 100})
    assert dict(bench.observe().weights) == {one.name: 100}


def test_what_serves_needs_no_second_deployment(tmp_path: Path, bench: Bench) -> None:
    one = bench.launched(model(tmp_path, 1))
    assert set(deployed(bench.target)) == {own(bench.target, one.name)}
    bench.shift({one.name: 100})
    assert deployed(bench.target) == {"churn": one.version.artifact_uri}
    assert bench.deployer.probe(one, world.EXAMPLE).ok


def test_a_release_that_served_before_is_probed_by_a_deployment_of_its_own_again(tmp_path: Path, bench: Bench) -> None:
    one, two = bench.launched(model(tmp_path, 1)), bench.launched(model(tmp_path, 2))
    bench.shift({one.name: 100})
    bench.shift({two.name: 100})
    assert set(deployed(bench.target)) == {"churn"}
    assert bench.deployer.probe(one, world.EXAMPLE).ok
    assert f"predict {own(bench.target, one.name)}" in calls(bench.target)


def test_a_probe_that_the_plugin_cannot_answer_says_why_and_the_next_asks_anew(tmp_path: Path, bench: Bench) -> None:
    one = bench.launched(model(tmp_path, 1))
    (elsewhere(bench.target) / "refused-predict").write_text("502 Bad Gateway")
    said = bench.deployer.probe(one, world.EXAMPLE)
    assert (said.ok, "502 Bad Gateway" in said.detail) == (False, True)
    (elsewhere(bench.target) / "refused-predict").unlink()
    assert bench.deployer.probe(one, world.EXAMPLE).ok


def test_a_probe_that_takes_long_is_looked_at_less_and_less_often(tmp_path: Path, bench: Bench) -> None:
    one = bench.launched(model(tmp_path, 1))
    blocked = block(bench.target, "predict")
    ahead, pauses = 0.0, []
    later = PluginDeployer(run=bench.deployer._run, clock=lambda: time.time() + ahead)  # type: ignore[attr-defined]  # noqa: SLF001 - the same processes
    for ahead in (0.0, 100.0, 3_600.0):  # noqa: B007 - the clock's
        with pytest.raises(UnderWay) as told:
            later.probe(one, world.EXAMPLE)
        pauses.append(told.value.retry_after or 0.0)
    assert [pauses[0], pauses[2]] == [5.0, 60.0]
    assert 25.0 <= pauses[1] < 60.0
    blocked.unlink()


def test_a_deployment_that_somebody_deletes_is_missed(tmp_path: Path, zygote: Zygote) -> None:
    ahead = 0.0
    bench = Bench(Patient(run=zygote, clock=lambda: time.time() + ahead), target_at(tmp_path), eventually)
    one, two = bench.launched(model(tmp_path, 1)), bench.launched(model(tmp_path, 2))
    bench.shift({one.name: 100})
    for name in ("churn", own(bench.target, two.name)):
        (elsewhere(bench.target) / "deployments" / f"{name}.json").unlink()
    ahead = 120.0
    eventually(lambda: dict(bench.observe().weights) == {})
    assert bench.seen(two.name) is None
    bench.shift({one.name: 100})
    assert deployed(bench.target) == {"churn": one.version.artifact_uri}


def by_hand(target: Target, name: str = "churn") -> None:
    there = elsewhere(target) / "deployments"
    there.mkdir(exist_ok=True)
    (there / f"{name}.json").write_text(json.dumps({"name": name, "model_uri": "by hand"}))


def test_a_deployment_made_by_hand_is_touched_only_once_it_is_lent(tmp_path: Path, bench: Bench) -> None:
    by_hand(bench.target)
    one = bench.launched(model(tmp_path, 1))
    before = bench.observe()
    assert (dict(before.weights), before.adopted) == ({"churn": 100}, False)
    assert ["made by hand" in said for said in bench.deployer.check(bench.target)] == [True]
    for touch in (lambda: bench.shift({one.name: 100}), lambda: bench.deployer.retire(bench.target, "churn")):
        with pytest.raises(Conflict):
            touch()
    assert deployed(bench.target)["churn"] == "by hand"
    bench.deployer.adopt(bench.target, model(tmp_path, 7))
    lent = bench.observe()
    assert (lent.adopted, lent.releases[-1].version, lent.releases[-1].ours) == (True, 7, False)
    with pytest.raises(Terminal, match="not deleted"):
        bench.shift({})
    bench.shift({one.name: 100})
    assert deployed(bench.target)["churn"] == one.version.artifact_uri
    with pytest.raises(Terminal, match="not deleted"):
        bench.shift({})


@pytest.mark.parametrize("emptied", [False, True])
def test_a_deployment_made_by_hand_since_the_plugin_was_last_asked_is_not_overwritten(
    tmp_path: Path, bench: Bench, *, emptied: bool
) -> None:
    one = bench.launched(model(tmp_path, 1))
    if emptied:
        bench.shift({one.name: 100})
        bench.shift({})
    by_hand(bench.target)
    bench.shift({one.name: 100})
    met = bench.observe()
    assert deployed(bench.target)["churn"] == "by hand"
    assert (dict(met.weights), met.adopted, bench.state(one.name)) == ({"churn": 100}, False, State.READY)
    with pytest.raises(Conflict, match="made by hand"):
        bench.shift({one.name: 100})
    bench.deployer.adopt(bench.target, model(tmp_path, 7))
    bench.shift({one.name: 100})
    assert dict(bench.observe().weights) == {one.name: 100}
    assert deployed(bench.target)["churn"] == one.version.artifact_uri


def test_a_deployment_that_somebody_deletes_and_makes_anew_is_theirs(tmp_path: Path, zygote: Zygote) -> None:
    ahead = 0.0
    bench = Bench(Patient(run=zygote, clock=lambda: time.time() + ahead), target_at(tmp_path), eventually)
    one = bench.launched(model(tmp_path, 1))
    bench.shift({one.name: 100})
    (elsewhere(bench.target) / "deployments" / "churn.json").unlink()
    ahead = 120.0
    eventually(lambda: dict(bench.observe().weights) == {})
    by_hand(bench.target)
    ahead = 240.0
    eventually(lambda: not bench.observe().adopted)
    with pytest.raises(Conflict, match="made by hand"):
        bench.shift({one.name: 100})
    with pytest.raises(Conflict, match="made by hand"):
        bench.shift({})
    assert deployed(bench.target)["churn"] == "by hand"


@pytest.mark.parametrize("when", ["before the plugin was asked", "since", "while a launch was killed"])
def test_a_deployment_of_a_releases_name_that_is_not_ours_is_neither_overwritten_nor_deleted(
    tmp_path: Path, bench: Bench, when: str
) -> None:
    release = bench.release(model(tmp_path, 1))
    there = own(bench.target, release.name)
    if when == "since":
        bench.observe()
    if when == "while a launch was killed":
        bench.observe()
        blocked = block(bench.target, "list")
        bench.deployer.launch(release)
        eventually(lambda: bool(at_work(bench.target)))
        kill(bench.target)
        blocked.unlink()
    by_hand(bench.target, there)
    if when == "before the plugin was asked":
        bench.observe()
    else:
        bench.deployer.launch(release)
        eventually(lambda: bench.seen(release.name) is None)
    with pytest.raises(Conflict, match=f"{there} is there"):
        bench.deployer.launch(release)
    assert bench.seen(release.name) is None
    bench.deployer.retire(bench.target, release.name)
    assert deployed(bench.target) == {there: "by hand"}
    assert not [call for call in calls(bench.target) if call.endswith(there)]


def test_watchers_that_share_a_plugin_never_meet_in_a_deployment(tmp_path: Path, zygote: Zygote) -> None:
    mine = target_at(tmp_path)
    others = replace(mine, owner="others", settings={**mine.settings, "state": str(tmp_path / "theirs")})
    here, there = (Bench(Patient(run=zygote), target, eventually) for target in (mine, others))
    version = model(tmp_path, 1)
    one, theirs = here.launched(version), there.launched(version)
    assert len(deployed(mine)) == 2
    here.deployer.retire(mine, one.name)
    eventually(lambda: len(deployed(mine)) == 1)
    assert there.deployer.probe(theirs, world.EXAMPLE).ok
    there.shift({theirs.name: 100})
    again = here.launched(version)
    with contextlib.suppress(Conflict):
        here.shift({again.name: 100})
    with pytest.raises(Conflict, match="made by hand"):
        here.shift({again.name: 100})
    assert dict(there.observe().weights) == {theirs.name: 100}
    assert deployed(mine)["churn"] == version.artifact_uri


def test_a_retirement_that_the_plugin_refuses_is_told_and_tried_again(tmp_path: Path, bench: Bench) -> None:
    one = bench.launched(model(tmp_path, 1))
    refused = elsewhere(bench.target) / "refused-delete"
    refused.write_text("locked")
    bench.deployer.retire(bench.target, one.name)
    eventually(lambda: bench.seen(one.name) is not None)
    with pytest.raises(Transient, match="locked"):
        PluginDeployer(run=bench.deployer._run).retire(bench.target, one.name)  # type: ignore[attr-defined]  # noqa: SLF001
    refused.unlink()

    def gone() -> bool:
        with contextlib.suppress(Transient):
            bench.deployer.retire(bench.target, one.name)
        return own(bench.target, one.name) not in deployed(bench.target)

    eventually(gone)


def test_it_is_refused_in_azure_functions(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = bench.release(model(tmp_path, 1))
    monkeypatch.setenv("FUNCTIONS_WORKER_RUNTIME", "python")
    assert list(bench.deployer.check(bench.target)) == [REFUSED]
    verbs: list[Callable[[], object]] = [
        bench.observe,
        lambda: bench.deployer.launch(release),
        lambda: bench.deployer.probe(release, world.EXAMPLE),
        lambda: bench.deployer.shift(bench.target, {}, "absent"),
        lambda: bench.deployer.retire(bench.target, release.name),
    ]
    for verb in verbs:
        with pytest.raises(Terminal, match="Azure Functions"):
            verb()
    assert calls(bench.target) == []


def test_little_is_left_of_operations_that_are_over(tmp_path: Path, bench: Bench) -> None:
    one, two = bench.launched(model(tmp_path, 1)), bench.launched(model(tmp_path, 2))
    for _ in range(3):
        bench.shift({one.name: 100})
        bench.shift({two.name: 100})
    kept = list(Path(str(bench.target.settings["state"])).glob("*/*/*/job.json"))
    assert len(kept) <= 6, kept
