"""A challenger answers copies of live requests on Azure ML before its canary: what fails there no client ever sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.azureml import house
from tests.azureml.cloud import Cloud
from tests.azureml.house import Bench
from tests.azureml.loop_world import ONLINE, OnAzure, on_azure
from tests.loop.world import MODEL
from watcher.errors import Terminal, WatcherError
from watcher.sentences import render
from watcher.values import Call, Example, Probe, Release

pytestmark = pytest.mark.slow


@pytest.fixture
def world(cloud: Cloud, tmp_path: Path) -> OnAzure:
    """v1 reigns, and challengers are mirrored to."""
    cloud.deployment_seconds, cloud.metrics_lag = 60.0, 60.0
    made = on_azure(cloud, tmp_path)
    made.rollout = replace(made.rollout, mirror=20)
    made.train(0.8)
    made.rest()
    assert made.champion() == 1, made.tail()
    return made


def watched(world: OnAzure) -> list[tuple[dict[int, int], dict[int, int]]]:
    """Live and mirrored traffic by version, whenever one of the two changed."""
    seen: list[tuple[dict[int, int], dict[int, int]]] = []

    def look(_: object) -> None:
        live = world.live()[ONLINE]
        there = world.cloud.endpoints[ONLINE]
        copied = {int(there.deployments[n].body["tags"]["watcher.version"]): share for n, share in there.copied.items()}
        if not seen or seen[-1] != (live, copied):
            seen.append((live, copied))

    world.watch.append(look)
    return seen


def test_a_challenger_is_mirrored_to_before_its_canary_and_not_after(world: OnAzure) -> None:
    seen = watched(world)
    second = world.train(0.9)
    world.rest()
    assert world.champion() == second, world.tail(20)
    assert seen == [({1: 100}, {}), ({1: 100}, {2: 20}), ({1: 90, 2: 10}, {}), ({2: 100}, {})]
    (line,) = [line for line in world.lines("live") if "mirrored" in (line.data or {})]
    told = (line.data or {})["mirrored"]
    assert (told["percent"], told["errors"], told["compared"]) == (20, 0, 0)
    assert told["requests"] >= 10
    assert f"answered {told['requests']} copies of requests: 0 failed, the 95th percentile took" in render(line)


def test_a_challenger_that_fails_on_copies_is_rolled_back_before_any_client_saw_it(
    world: OnAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watched(world)
    second = world.train(0.9)
    found = world.registry.version(MODEL, second)
    world.cloud.scoring_errors[f"prod-risk-churn-v{second}-{found.identity.digest}"] = 500  # type: ignore[union-attr]

    def passed(release: Release, _example: Example) -> Probe:
        return Probe(ok=True, version=release.version.number)

    # Real requests find what the example does not.
    monkeypatch.setattr(world._moved["azureml-online"], "probe", passed)  # noqa: SLF001 - of this world's workers
    world.rest()
    assert (world.champion(), world.call(second)) == (1, Call.ROLLED_BACK), world.tail(20)
    assert any(copied for _, copied in seen)
    assert all(live == {1: 100} for live, _ in seen)
    assert seen[-1][1] == {}


def test_what_azure_does_not_mirror_is_refused(bench: Bench) -> None:
    one, two = bench.launched(1), bench.launched(2)
    bench.shift((one, 100))
    token = bench.observe().token
    with pytest.raises(Terminal, match="50 % of the requests at most"):
        bench.deployer.mirror(bench.target, two.name, 51, token)
    on_kubernetes = house.target_at(bench.endpoint, compute="aks")
    with pytest.raises(Terminal, match="Kubernetes"):
        bench.deployer.mirror(on_kubernetes, two.name, 20, token)
    assert bench.cloud.endpoints[bench.endpoint].copied == {}


def shadowed(bench: Bench) -> None:
    """Somebody mirrors to a deployment of their own."""
    bench.cloud.by_hand(bench.endpoint, "shadow", share=0)
    there = bench.cloud.endpoints[bench.endpoint]
    there.body["properties"]["mirrorTraffic"], there.copied = {"shadow": 10}, {"shadow": 10}
    bench.cloud.sleep(300.0)


def test_a_mirror_that_somebody_else_made_stays_and_no_other_is_asked_for(bench: Bench) -> None:
    one, two = bench.launched(1), bench.launched(2)
    bench.shift((one, 100))
    before = bench.observe().token
    shadowed(bench)
    seen = bench.observe()
    assert (seen.mirrored, seen.token != before) == (None, True)
    with pytest.raises(Terminal, match="mirrors to shadow, which this watcher did not ask for"):
        bench.deployer.mirror(bench.target, two.name, 20, seen.token)
    bench.shift((two, 100))
    assert bench.cloud.endpoints[bench.endpoint].copied == {"shadow": 10}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("verb", ["mirror", "retire"])
def test_an_outage_in_the_middle_is_met_by_doing_it_again(bench: Bench, verb: str, *, after: bool) -> None:
    one, two = bench.launched(1), bench.launched(2)
    bench.shift((one, 100))
    deeds: dict[str, Callable[[], None]] = {
        "mirror": lambda: bench.deployer.mirror(bench.target, two.name, 20, bench.observe().token),
        "retire": lambda: bench.deployer.retire(bench.target, two.name),
    }
    if verb == "retire":
        deeds["mirror"]()
    bench.cloud.fail("PUT /onlineEndpoints/[^/]+$", status=0, times=3, after=after)
    for _ in range(12):
        try:
            deeds[verb]()
        except WatcherError:
            bench.cloud.sleep(30.0)
        else:
            break
    bench.cloud.sleep(30.0)
    seen = bench.observe()
    if verb == "mirror":
        assert seen.mirrored is not None
        assert (seen.mirrored.release, seen.mirrored.percent) == (two.name, 20)
    else:
        assert (seen.mirrored, seen.release(two.name)) == (None, None)
    assert dict(seen.weights) == {one.name: 100}
