"""Before its canary a challenger answers copies of live requests, and nobody sees what it says to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.loop.world import MODEL, World, ready, target, with_rollout
from watcher.errors import Conflict, Transient
from watcher.ports import Line
from watcher.sentences import render
from watcher.values import Call, Verb

ENDPOINTS = (target("api"), target("eu"))


def mirroring(world: World, **analysis: Any) -> World:
    return with_rollout(world, mirror=20, analysis=replace(world.rollout.analysis, **analysis))


def mirrored(world: World, name: str = "api") -> tuple[str, int] | None:
    """What the requests of a target are copied to."""
    seen = world.deployer.look(next(t for t in world.targets if t.name == name)).mirrored
    return None if seen is None else (seen.release.rsplit("-", 1)[0], seen.percent)


def to_mirror(world: World, name: str = "api") -> None:
    """Wake until requests of the target are copied."""
    loop = world.worker()
    for _ in range(100):
        if mirrored(world, name) is not None:
            return
        woken = world.wake(loop)
        if not woken.acted:
            world.now = max(world.now, woken.again or world.now)
    raise AssertionError(world.tail())


def shares(world: World, version: int) -> list[int]:
    """Every share of the traffic that a version had on a target, in turn."""
    return [line.data["weights"].get(str(version), 0) for line in world.lines("live") if line.data]


def rolled_back(world: World) -> Line:
    (line,) = world.lines("rolled_back")
    return line


def test_a_challenger_answers_copies_for_a_whole_bake_before_it_gets_traffic_and_the_history_says_how_well() -> None:
    world = mirroring(World())
    world.crowned(0.8)
    new = world.train(0.9)
    world.deployer.disagrees[new] = 0.25
    steps = world.rest()
    verbs = [step.split(":")[0] for step in steps]
    assert verbs[:6] == ["nominate", "tag", "launch", "probe", "mirror", "shift"]
    assert world.champion() == new
    began = next(x for x in world.lines("done") if (x.data or {}).get("verb") == Verb.MIRROR)
    first = next(x for x in world.lines("live") if (x.data or {}).get("weights", {}).get(str(new)) == 10)
    assert first.at - began.at >= world.rollout.bake
    assert first.data is not None
    found = first.data["mirrored"]
    assert (found["version"], found["percent"], found["errors"]) == (new, 20, 0)
    assert found["requests"] >= world.rollout.analysis.min_requests
    assert found["disagreed"] == int(found["compared"] * 0.25) > 0
    assert f"{found['disagreed']} of {found['compared']} answers that were compared differ" in render(first)
    assert "copy 20 % of its requests to version 2" in render(began)
    assert [line for line in world.lines("live") if "mirrored" in (line.data or {})] == [first]
    (waits,) = (line for line in world.lines("told") if line.reason == "mirroring")
    assert waits.data == {"detail": f"v{new} is given copies of 20% of api"}


BADLY = {
    "error_share": (0.3, "analysis_errors", "mirrored requests failed"),
    "p95_ms": (40.0, "analysis_latency", "of copies, champion"),
    "disagrees": (0.5, "analysis_disagreement", "mirrored answers differ"),
}


@pytest.mark.parametrize("fault", sorted(BADLY))
def test_a_challenger_that_answers_copies_badly_is_rolled_back_before_any_client_saw_it(fault: str) -> None:
    measured, reason, said = BADLY[fault]
    world = mirroring(World(targets=ENDPOINTS), max_disagreement=0.1)
    champion = world.crowned(0.8)
    bad = world.train(0.9)
    getattr(world.deployer, fault)[bad] = measured
    world.rest()
    assert world.call(bad) is Call.ROLLED_BACK
    assert set(shares(world, bad)) == {0}
    assert rolled_back(world).reason == reason
    assert said in (rolled_back(world).data or {})["detail"]
    assert world.champion() == champion
    for name in ("api", "eu"):
        assert ready(world, name) == [champion]
        assert mirrored(world, name) is None


def test_a_challenger_that_agrees_well_enough_goes_on_under_a_bound() -> None:
    world = mirroring(World(), max_disagreement=0.1)
    world.crowned(0.8)
    new = world.train(0.9)
    world.deployer.disagrees[new] = 0.05
    world.rest()
    assert world.champion() == new


def test_answers_that_differ_are_only_told_without_a_bound() -> None:
    world = mirroring(World())
    world.crowned(0.8)
    new = world.train(0.9)
    world.deployer.disagrees[new] = 1.0
    world.rest()
    assert world.champion() == new


def test_too_few_copies_are_never_a_pass_and_a_probe_replaces_them_where_the_rollout_says_so() -> None:
    for no_traffic, champion in (("wait", 1), ("probe", 2)):
        world = mirroring(World(), no_traffic=no_traffic)
        world.crowned(0.8)
        world.deployer.requests_per_second = 0.0
        new = world.train(0.9)
        world.rest()
        assert world.champion() == champion
        if champion != new:
            assert world.lines("told")[-1].reason == "too_few_requests"
            assert set(shares(world, new)) == {0}
            assert mirrored(world) == ("prod-risk-churn-v2", 20)


@pytest.mark.parametrize("untold", [1, 2], ids=["champion", "challenger"])
def test_figures_that_are_not_known_while_mirroring_are_never_zero_errors(untold: int) -> None:
    world = mirroring(World())
    world.crowned(0.8)
    new = world.train(0.9)
    world.deployer.untold.add(untold)
    world.rest()
    assert world.lines("told")[-1].reason == "traffic_unknown"
    assert set(shares(world, new)) == {0}


def test_answers_that_nobody_compared_are_never_agreement() -> None:
    world = mirroring(World(), max_disagreement=0.1, max_error_increase=1.0)
    world.crowned(0.8)
    new = world.train(0.9)
    world.deployer.error_share[new] = 1.0
    world.rest()
    assert world.lines("told")[-1].reason == "too_few_requests"
    assert set(shares(world, new)) == {0}


def test_every_endpoint_is_mirrored_before_any_gets_traffic_and_jobs_never_are() -> None:
    world = mirroring(World(targets=(*ENDPOINTS, target("nightly", "fake-batch"))))
    world.crowned(0.8)
    new = world.train(0.9)
    steps = [step.rsplit(":", 1)[0] for step in world.rest()]
    assert steps[steps.index("mirror:api") :][:4] == ["mirror:api", "mirror:eu", "shift:api", "shift:eu"]
    assert "mirror:nightly" not in steps
    assert world.champion() == new
    told = {line.target for line in world.lines("live") if "mirrored" in (line.data or {})}
    assert told == {"api", "eu"}


def test_a_first_version_has_nothing_to_be_mirrored_beside() -> None:
    world = mirroring(World())
    version = world.train(0.8)
    assert not [step for step in world.rest() if step.startswith("mirror")]
    assert world.serving() == {version: 100}


class Plain:
    """A deployer without what only some have."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "mirror":
            raise AttributeError(name)
        return getattr(self._inner, name)


def test_an_endpoint_that_cannot_mirror_is_told_and_gets_no_challenger_unseen() -> None:
    world = mirroring(World(targets=ENDPOINTS))
    champion = world.crowned(0.8)
    new = world.train(0.9)
    world.rest(world.worker(deployer=Plain(world.deployer)))
    told = world.lines("told")[-1]
    assert (told.reason, told.data) == ("cannot_mirror", {"detail": f"v{new} on api, eu"})
    assert world.serving() == {champion: 100}
    world.rollout = replace(world.rollout, mirror=0)
    world.rest(world.worker(deployer=Plain(world.deployer)))
    assert world.champion() == new


def test_another_share_in_the_settings_starts_the_bake_again() -> None:
    world = mirroring(World())
    world.crowned(0.8)
    world.train(0.9)
    to_mirror(world)
    world.now += world.rollout.bake - 1.0
    world.rollout = replace(world.rollout, mirror=50)
    world.rest()
    asked = [line for line in world.lines("done") if (line.data or {}).get("verb") == Verb.MIRROR]
    first = next(line for line in world.lines("live") if (line.data or {}).get("mirrored"))
    assert len(asked) == 2
    assert first.at - asked[1].at >= world.rollout.bake
    assert (first.data or {})["mirrored"]["percent"] == 50


def test_an_abort_and_an_order_in_the_middle_end_the_mirror() -> None:
    world = mirroring(World())
    first = world.crowned(0.8)
    second = world.train(0.9)
    to_mirror(world)
    world.registry.delete_alias(MODEL, "challenger")
    world.rest()
    assert world.call(second) is Call.ROLLED_BACK
    assert (mirrored(world), world.serving(), ready(world, "api")) == (None, {first: 100}, [first])
    third = world.train(0.95)
    to_mirror(world)
    world.registry.set_alias(MODEL, "champion", third)
    world.rest()
    assert (mirrored(world), world.serving()) == (None, {third: 100})


def test_a_canary_that_somebody_undid_begins_with_its_mirror_again() -> None:
    world = mirroring(World())
    first = world.crowned(0.8)
    new = world.train(0.9)
    loop = world.worker()
    while world.serving().get(new) != 10:
        woken = world.wake(loop)
        world.now = max(world.now, woken.again or world.now)
    name = next(r.name for r in world.deployer.look(world.targets[0]).releases if r.version == first)
    world.deployer.meddle(world.targets[0], {name: 100})
    assert world.wake(loop).step.verb is Verb.MIRROR
    world.rest()
    assert world.champion() == new


@pytest.mark.parametrize("error", [Conflict("it changed"), Transient("timed out")], ids=["conflict", "transient"])
def test_a_mirror_that_does_not_come_about_is_tried_again(error: Exception) -> None:
    world = mirroring(World())
    world.crowned(0.8)
    new = world.train(0.9)
    world.deployer.faults.fail("mirror", error, times=3)
    world.rest()
    assert world.champion() == new
