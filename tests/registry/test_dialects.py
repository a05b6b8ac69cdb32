"""What the registries of Databricks cannot do, and what is done instead, seen over HTTP."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databricks.control_plane import Workspace
from tests.databricks.refused import Refused
from tests.databricks.registry_world import DatabricksWorld, workspace
from watcher.errors import Terminal, Transient, UserError
from watcher.registry import feed, versions
from watcher.registry.client import Client
from watcher.registry.dialects import tracking_of
from watcher.registry.mlflow import MlflowRegistry, build
from watcher.retry import Retry
from watcher.settings import RegistrySettings
from watcher.values import Call, Crown, Status, Version

pytestmark = pytest.mark.slow

BOTH = ["databricks-uc", "databricks"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with workspace(tmp_path_factory.mktemp("workspace")) as found:
        yield found


@pytest.fixture
def running(shared: Workspace) -> Workspace:
    """The workspace as it was before any test asked for trouble."""
    assert shared.registries is not None
    shared.registries.touches, shared.registries.hollow, shared.registries.page = True, False, 10_000
    shared.refuse = lambda _method, _path: None
    shared.registries.asked.clear()
    return shared


def there(uri: str, running: Workspace, folder: Path, amount: int = 3) -> tuple[DatabricksWorld, str]:
    world = DatabricksWorld(uri, running, folder)
    name = world.name("churn")
    world.create_model(name)
    for _ in range(amount):
        world.create_version(name, files=False)
    return world, name


def impatient(uri: str) -> MlflowRegistry:
    return MlflowRegistry(Client(uri, tracking_of(uri), {}), Retry(attempts=1))


def test_unity_catalog_is_asked_for_nothing_that_it_cannot_do(running: Workspace, tmp_path: Path) -> None:
    world, name = there("databricks-uc", running, tmp_path)
    running.registries.asked.clear()  # type: ignore[union-attr]
    world.registry.changed(0)
    world.registry.names()
    world.registry.versions(name, above=1)
    asked = running.registries.asked  # type: ignore[union-attr]
    assert not [
        body for path, body in asked if "order_by" in body or (path.endswith("models/search") and "filter" in body)
    ]
    assert {body["filter"] for path, body in asked if path.endswith("versions/search")} == {f"name='{name}'"}


def test_a_new_version_shows_in_the_marks_although_it_touches_no_model(running: Workspace, tmp_path: Path) -> None:
    world, name = there("databricks-uc", running, tmp_path)
    assert world.plane is running.registries
    world.plane.touches = False
    before = world.registry.marks([name])[name]
    number = world.create_version(name, files=False)
    assert name not in {c.name for c in world.registry.changed(int(time.time() * 1000) + 1)}
    assert (before.newest, world.registry.marks([name])[name].newest) == (3, number)


@pytest.mark.parametrize("uri", BOTH)
def test_an_empty_page_does_not_end_a_listing(uri: str, running: Workspace, tmp_path: Path) -> None:
    world, name = there(uri, running, tmp_path)
    world.plane.hollow, world.plane.page = True, 2
    assert [v.number for v in world.registry.versions(name, above=0)] == [3, 2, 1]
    assert world.registry.read(name).newest == 3
    assert name in world.registry.names()


def test_a_sweep_reads_a_bounded_number_of_models_and_comes_round(
    running: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = DatabricksWorld("databricks-uc", running, tmp_path)
    names = [world.name(f"m{i}") for i in range(5)]
    for name in names:
        world.create_model(name)
    monkeypatch.setattr(feed, "MOST_GETS", 2)
    running.registries.asked.clear()  # type: ignore[union-attr]
    swept = [set(world.registry.marks(names)) for _ in range(3)]
    assert [len(found) for found in swept] == [2, 2, 2]
    assert set().union(*swept) == set(names)
    asked = Counter(path.rpartition("/")[2] for path, _ in running.registries.asked)  # type: ignore[union-attr]
    assert asked == {"get": 6, "search": 6}


def test_a_listing_reads_a_bounded_number_of_versions(
    running: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, name = there("databricks-uc", running, tmp_path, amount=6)
    monkeypatch.setattr(versions, "MOST_GETS", 2)
    world.registry.rejudge(name, 1)
    running.registries.asked.clear()  # type: ignore[union-attr]
    found = world.registry.versions(name, above=0, most=1_000)
    assert [(v.number, v.rejudge) for v in found] == [(6, False), (5, False), (1, True)]
    assert sum(path.endswith("versions/get") for path, _ in running.registries.asked) == 3  # type: ignore[union-attr]


def test_a_person_asks_for_another_verdict_by_a_tag_of_the_model(running: Workspace, tmp_path: Path) -> None:
    world, name = there("databricks-uc", running, tmp_path)
    world.registry.tag(name, 1, Call.LOSES, None)
    world.client.set_registered_model_tag(name, "watcher_rejudge_1", "yes")
    assert [(v.number, v.rejudge) for v in world.registry.versions(name, above=2)] == [(3, False), (1, True)]
    world.registry.tag(name, 1, None, Call.LOSES)
    assert [v.number for v in world.registry.versions(name, above=2)] == [3]


def test_keys_are_spelled_as_unity_catalog_takes_them(running: Workspace, tmp_path: Path) -> None:
    world, name = there("databricks-uc", running, tmp_path)
    world.registry.write_crown(name, Crown(crowned=1, n=1), world.registry.read(name))
    world.registry.hold(name, "ann")
    world.registry.tag(name, 2, Call.LOSES, None)
    assert set(world.client.get_registered_model(name).tags) == {"watcher_crown", "watcher_hold"}
    assert world.client.get_model_version(name, "2").tags == {"watcher_verdict": "loses"}


@pytest.mark.parametrize("text", ["latest", "", "v2", "2.0", "0", "-1", "9" * 30, "²"])
@pytest.mark.parametrize("mark", ["champion", "challenger"])
def test_a_mark_that_is_no_number_stops_the_model(running: Workspace, tmp_path: Path, mark: str, text: str) -> None:
    world, name = there("databricks", running, tmp_path, amount=1)
    world.plane.store.set_registered_model_tag(name, _tag(f"watcher.{mark}", text))
    seen = world.registry.read(name)
    assert (seen.champion, seen.challenger) == (None, None)
    assert seen.problem is not None
    assert f"watcher.{mark}" in seen.problem


def test_an_order_by_tag_takes_one_write_and_marks_one_version(running: Workspace, tmp_path: Path) -> None:
    world, name = there("databricks", running, tmp_path)
    world.registry.set_champion(name, 2)
    world.client.set_registered_model_tag(name, "watcher.champion", " 3 ")
    assert world.registry.read(name).champion == 3
    assert all(not v.tags for v in world.registry.versions(name, above=0))


@pytest.mark.parametrize("uri", BOTH)
@pytest.mark.parametrize(
    ("status", "expected"), [("PENDING_REGISTRATION", Status.PENDING), ("FAILED_REGISTRATION", Status.FAILED)]
)
def test_how_far_an_upload_is_the_version_says(
    uri: str, status: str, expected: Status, running: Workspace, tmp_path: Path
) -> None:
    world, name = there(uri, running, tmp_path)
    world.plane.statuses[name, 3] = status
    found = world.registry.versions(name, above=2)
    assert [v.status for v in found] == [expected]


def test_numbers_come_with_the_version_where_its_runs_are_elsewhere(running: Workspace, tmp_path: Path) -> None:
    world = DatabricksWorld("databricks-uc", running, tmp_path)
    name = world.name("scored")
    number = world.create_version(name, {"auc": 0.9})
    running.refuse = lambda _method, path: (
        Refused(404, "RESOURCE_DOES_NOT_EXIST", "elsewhere") if "/logged-models/" in path or "/runs/" in path else None
    )
    found = world.registry.version(name, number)
    assert isinstance(found, Version)
    assert world.registry.of(found).metrics["auc"].value == 0.9


@pytest.mark.parametrize("uri", BOTH)
def test_storage_that_is_down_waits_for_seconds(
    uri: str, running: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.utils.rest_utils import get_workspace_client

    monkeypatch.setattr("watcher.registry.artifacts.SDK_SECONDS", 1)
    monkeypatch.setenv("MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT", "1")
    # MLflow keeps the client that people of this process came with, who wait for minutes.
    get_workspace_client.cache_clear()
    world = DatabricksWorld(uri, running, tmp_path)
    name = world.name("scored")
    found = world.registry.version(name, world.create_version(name, {"auc": 0.9}))
    assert isinstance(found, Version)
    running.refuse = lambda _method, path: (
        Refused(503, "TEMPORARILY_UNAVAILABLE", "down", {"Retry-After": "1"})
        if path.startswith("/api/2.0/fs/") or path.endswith("/list-artifacts")
        else None
    )
    with pytest.raises(Transient):
        impatient(uri).of(found)


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("uri", BOTH)
def test_who_is_not_let_in_is_told_where_databricks_takes_its_credentials_from(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.utils.rest_utils import get_workspace_client

    monkeypatch.setenv("DATABRICKS_TOKEN", "stolen-and-wrong")
    get_workspace_client.cache_clear()
    with pytest.raises(Terminal, match="DATABRICKS_TOKEN") as told:
        impatient(uri).names()
    get_workspace_client.cache_clear()
    assert "stolen" not in str(told.value)


@pytest.mark.parametrize(
    ("uri", "name", "why"),
    [
        ("databricks-uc", "churn", "3 parts"),
        ("databricks-uc", "risk.churn", "3 parts"),
        ("databricks-uc", "main..churn", "3 parts"),
        ("databricks", "main.risk.churn", "no names with a period"),
    ],
)
def test_a_name_of_the_other_registry_is_refused_before_it_is_asked(uri: str, name: str, why: str) -> None:
    with pytest.raises(Terminal, match=why):
        impatient(uri).read(name)


@pytest.mark.parametrize(
    ("uri", "marks", "why"),
    [
        ("databricks-uc", "tag", "has aliases"),
        ("databricks-uc://prod", "tag", "has aliases"),
        ("databricks", "alias", "has none"),
        ("databricks://prod", "alias", "has none"),
        ("uc:http://127.0.0.1:1", "auto", "neither tags nor aliases"),
    ],
)
def test_marks_that_a_registry_does_not_keep_are_refused(uri: str, marks: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        build(RegistrySettings(uri, tracking_of(uri), marks), {})


@pytest.mark.parametrize(
    ("uri", "runs"),
    [
        ("databricks-uc", "databricks"),
        ("databricks-uc://prod", "databricks://prod"),
        ("databricks://prod", "databricks://prod"),
        ("sqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_runs_are_looked_for_where_a_registry_leaves_them(uri: str, runs: str) -> None:
    assert tracking_of(uri) == runs


def _tag(key: str, value: str) -> object:
    from mlflow.entities.model_registry import RegisteredModelTag

    return RegisteredModelTag(key, value)
