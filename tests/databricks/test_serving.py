"""What Databricks serving endpoints do beyond the contract: other people's changes, refusals, lost answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import deployers
from deployers.databricks import metrics, serving, workspace
from deployers.databricks.serving import DatabricksServing
from tests.databricks.control_plane import TOKEN, Workspace, hand_made, routes
from tests.databricks.control_plane import serving as running
from tests.databricks.refused import Refused
from tests.databricks.target_world import MODEL, TargetWorld, version_of
from watcher.errors import Conflict, Terminal, Transient, WatcherError
from watcher.values import Example, Kind, State, Target

EXAMPLE = Example(b'{"inputs": [1]}')


class World(TargetWorld):
    """A workspace, the deployer and one endpoint of it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.deployer = DatabricksServing(now=lambda: workspace.now)
        settings = {"host": workspace.url, "endpoint": "churn"}
        place = deployers.place("databricks-serving", settings)
        self.target = Target("api", "databricks-serving", Kind.ENDPOINT, MODEL, "tests", place, settings)

    @property
    def looks(self) -> int:
        return self.workspace.polls + 1

    @property
    def entities(self) -> dict[str, Any]:
        config = self.workspace.endpoints["churn"].config
        return {str(entity.name): entity for entity in (config.served_entities if config else None) or []}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    with running(Workspace()) as workspace:
        yield World(workspace)


def whole_life(world: World) -> None:
    """From a hand-made endpoint to our second version, as the loop goes about it, holding what must hold."""
    deployer, workspace = world.deployer, world.workspace
    hand_made(workspace, "churn", "by-hand", MODEL, 1)
    assert not world.observe().adopted
    with pytest.raises(Conflict):
        deployer.launch(world.release(2))
    deployer.adopt(world.target, version_of(1))
    assert world.observe().adopted
    two = world.launched(2)
    assert routes(workspace.endpoints["churn"]) == {"by-hand": 100}, "a launch leaves the routes alone"
    assert deployer.probe(world.release(2), EXAMPLE).version == 2
    before = world.observe().token
    deployer.shift(world.target, {"by-hand": 90, two: 10}, before)
    assert dict(world.observe().weights) == {"by-hand": 100}, "what is asked for is not what serves"
    with pytest.raises(Transient):
        deployer.shift(world.target, {two: 100}, world.observe().token)
    seen = world.settled()
    assert dict(seen.weights) == {"by-hand": 90, two: 10}
    assert seen.token != before
    with pytest.raises(Conflict):
        deployer.shift(world.target, {two: 100}, before)
    workspace.traffic(requests=1000, failing=2)
    seen = world.observe()
    counted = seen.release(two)
    assert counted is not None
    assert (counted.traffic.requests, counted.traffic.errors) == (100, 10)
    seen = world.shift({two: 100})
    fresh = seen.release(two)
    assert fresh is not None
    assert not fresh.traffic.available, "a minute that began before the change is not counted"
    with pytest.raises(Conflict):
        deployer.retire(world.target, "by-hand")
    three = world.launched(3)
    deployer.retire(world.target, three)
    world.settled()
    assert sorted(world.entities) == sorted(["by-hand", two]), "what a person made stays"
    kept, config = world.entities["by-hand"], workspace.endpoints["churn"].config
    assert (kept.workload_size, kept.scale_to_zero_enabled, kept.environment_vars) == ("Medium", True, {"KEPT": "yes"})
    assert config is not None
    assert config.auto_capture_config is not None
    assert config.auto_capture_config.catalog_name == "ml"
    assert routes(workspace.endpoints["churn"]) == {two: 100}


def test_an_endpoint_made_by_hand_is_adopted_and_loses_nothing(world: World) -> None:
    whole_life(world)


def _forgets_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = serving._input  # noqa: SLF001 - a fault is put where it would be
    monkeypatch.setattr(serving, "_input", lambda entity: replace(kept(entity), environment_vars=None))


def _forgets_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = serving._input  # noqa: SLF001 - a fault is put where it would be
    monkeypatch.setattr(serving, "_input", lambda entity: replace(kept(entity), workload_size="Small"))


def _forgets_inference_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_capture", lambda _output: None)


def _drops_what_is_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = serving._kept  # noqa: SLF001 - a fault is put where it would be
    monkeypatch.setattr(serving, "_kept", lambda seen, name, but=None: name != "by-hand" and kept(seen, name, but))


def _changes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabricksServing, "_quiet", staticmethod(lambda _seen, _target: None))
    update = DatabricksServing._update  # noqa: SLF001 - a fault is put where it would be

    def insists(self: DatabricksServing, *args: Any) -> None:
        try:
            update(self, *args)
        except WatcherError:
            return

    monkeypatch.setattr(DatabricksServing, "_update", insists)


def _trusts_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving._Seen, "weights", property(lambda seen: dict(seen.desired)))  # noqa: SLF001 - a fault is put where it would be


def _ignores_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving._Seen, "token", property(lambda _seen: "always"))  # noqa: SLF001 - a fault is put where it would be


def _never_asks_for_adoption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabricksServing, "_mine", lambda *_: None)


def _deletes_what_is_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_key", lambda _name: "1-000000")
    monkeypatch.setattr(DatabricksServing, "launch", lambda *_: None)


def _counts_any_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = metrics.of_releases
    monkeypatch.setattr(
        metrics, "of_releases", lambda text, releases, now, **_: counted(text, releases, since=0, now=now)
    )


def _shifts_while_launching(monkeypatch: pytest.MonkeyPatch) -> None:
    update = DatabricksServing._update  # noqa: SLF001 - a fault is put where it would be

    def greedy(self: DatabricksServing, target: Target, seen: Any, entities: Any, _routes: Any) -> None:
        update(self, target, seen, entities, {entities[-1].name: 100})

    monkeypatch.setattr(DatabricksServing, "_update", greedy)


@pytest.mark.parametrize(
    "bug",
    [
        _forgets_settings,
        _forgets_the_size,
        _forgets_inference_tables,
        _drops_what_is_foreign,
        _changes_meanwhile,
        _trusts_the_reply,
        _ignores_the_token,
        _never_asks_for_adoption,
        _deletes_what_is_foreign,
        _counts_any_minute,
        _shifts_while_launching,
    ],
    ids=lambda bug: str(bug.__name__).strip("_").replace("_", " "),
)
def test_a_deployer_with_a_fault_does_not_live_through_it(
    bug: Callable[[pytest.MonkeyPatch], None], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)
    with pytest.raises((AssertionError, WatcherError, KeyError, pytest.fail.Exception)):
        whole_life(world)


def test_a_version_that_is_not_what_serves_is_not_adopted(world: World) -> None:
    hand_made(world.workspace, "churn", "by-hand", MODEL, 1)
    with pytest.raises(Terminal, match=r"serves ml\.risk\.churn v1, not ml\.risk\.churn v2"):
        world.deployer.adopt(world.target, version_of(2))
    assert not world.observe().adopted


def test_the_change_of_somebody_else_changes_the_token(world: World) -> None:
    one, two = world.launched(1), world.launched(2)
    world.shift({one: 100})
    before = world.observe().token
    config = world.workspace.endpoints["churn"].config
    assert config is not None
    assert config.traffic_config is not None
    for route in config.traffic_config.routes or []:
        route.traffic_percentage = 50
    seen = world.observe()
    assert dict(seen.weights) == {one: 50, two: 50}
    assert seen.token != before


def test_a_change_whose_answer_was_lost_is_found_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "PATIENCE", 1)
    one, two = world.launched(1), world.launched(2)
    world.shift({one: 100})
    world.workspace.lose = lambda method, path: (method, path.rsplit("/", 1)[-1]) == ("PUT", "config")
    with pytest.raises(Transient):
        world.deployer.shift(world.target, {two: 100}, world.observe().token)
    world.workspace.lose = lambda _method, _path: False
    assert dict(world.settled().weights) == {two: 100}


def test_who_loses_the_race_for_a_change_waits_for_the_other(world: World) -> None:
    world.launched(1)
    token = world.observe().token

    def meanwhile(method: str, path: str) -> Refused | None:
        if (method, path.rsplit("/", 1)[-1]) != ("PUT", "config"):
            return None
        world.workspace.refuse = lambda _method, _path: None
        world.workspace._update(world.workspace.endpoints["churn"], _same(world))  # noqa: SLF001 - as somebody else's call
        return None

    world.workspace.refuse = meanwhile
    with pytest.raises(Transient, match="somebody else"):
        world.deployer.launch(world.release(2))
    assert world.settled().token == token


def _same(world: World) -> Any:
    config = world.workspace.endpoints["churn"].config
    assert config is not None
    return config.as_dict()


@pytest.mark.parametrize(
    ("status", "code", "kind", "wish"),
    [
        (401, "UNAUTHENTICATED", Transient, 300.0),
        (403, "PERMISSION_DENIED", Transient, 300.0),
        (400, "INVALID_PARAMETER_VALUE", Terminal, None),
        (409, "RESOURCE_CONFLICT", Conflict, None),
        (500, "INTERNAL_ERROR", Transient, None),
    ],
)
def test_a_refusal_is_told_by_its_status(
    status: int, code: str, kind: type[WatcherError], wish: float | None, world: World
) -> None:
    world.launched(1)
    world.workspace.refuse = lambda method, _path: Refused(status, code, "no.") if method == "PUT" else None
    with pytest.raises(kind) as caught:
        world.deployer.launch(world.release(2))
    assert getattr(caught.value, "retry_after", None) == wish
    assert "\n" not in str(caught.value)


def test_a_throttled_request_is_repeated_within_the_call(world: World) -> None:
    left = [Refused(429, "REQUEST_LIMIT_EXCEEDED", "slow down", {"Retry-After": "1"})]
    world.workspace.refuse = lambda method, _path: left.pop() if left and method == "GET" else None
    assert world.observe().token == serving.ABSENT
    assert not left


def test_the_secret_that_signs_in_is_in_no_message(world: World) -> None:
    world.workspace.refuse = lambda _method, _path: Refused(500, "INTERNAL_ERROR", f"Bearer {TOKEN} is odd")
    with pytest.raises(Transient) as caught:
        world.observe()
    assert TOKEN not in str(caught.value)


def test_a_failed_version_leaves_with_the_next_change(world: World) -> None:
    one = world.launched(1)
    world.shift({one: 100})
    world.workspace.broken["2"] = "no such package"
    two = world.launched(2)
    failed = world.observe().release(two)
    assert failed is not None
    assert (failed.state, failed.detail) == (State.FAILED, "no such package")
    three = world.launched(3)
    seen = world.observe()
    assert {r.name: r.state for r in seen.releases} == {one: State.READY, three: State.READY}
    assert dict(seen.weights) == {one: 100}


def test_the_last_release_of_an_endpoint_that_we_made_takes_it_along(world: World) -> None:
    one = world.launched(1)
    world.deployer.retire(world.target, one)
    assert "churn" not in world.workspace.endpoints


@pytest.mark.parametrize("status", [429, 503, 504])
def test_a_release_that_is_waking_from_zero_is_asked_again_later(status: int, world: World) -> None:
    world.launched(1)
    world.workspace.answers = lambda _name, _version: (status, {"message": "starting"})
    with pytest.raises(Transient):
        world.deployer.probe(world.release(1), EXAMPLE)


def test_a_model_that_fails_on_the_example_fails_its_probe(world: World) -> None:
    world.launched(1)
    world.workspace.answers = lambda _name, _version: (400, {"message": "KeyError: bmi"})
    probe = world.deployer.probe(world.release(1), EXAMPLE)
    assert not probe.ok
    assert "KeyError: bmi" in probe.detail


def test_check_says_who_may_only_look_and_what_cannot_be_named(world: World) -> None:
    hand_made(world.workspace, "churn", "by-hand", MODEL, 1).level = "CAN_QUERY"
    assert len(list(world.deployer.check(world.target))) == 2
    settings = {**world.target.settings, "endpoint": "prod.churn"}
    assert "'prod.churn'" in next(iter(world.deployer.check(replace(world.target, settings=settings))))


def test_without_credentials_check_says_what_to_set(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", "/nowhere")
    (problem,) = world.deployer.check(world.target)
    assert "DATABRICKS_HOST" in problem
