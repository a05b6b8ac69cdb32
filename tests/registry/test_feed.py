"""The change poll is one call when nothing happens, whole when much did, and an error when it cannot be whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel
from mlflow.store.entities import PagedList

from tests.registry.mlflow_world import MlflowWorld
from watcher.errors import Transient
from watcher.registry.client import Client
from watcher.registry.mlflow import MlflowRegistry
from watcher.retry import Retry

T = TypeVar("T")
ONCE = Retry(attempts=1)


class Counted(Client):
    """Counts what is asked, and fails where it is told to."""

    def __init__(self, uri: str, fails_at: int | None = None) -> None:
        super().__init__(uri, uri, os.environ)
        self.asked: list[str] = []
        self._fails_at = fails_at

    def ask(self, doing: str, call: Callable[[MlflowClient], T]) -> T:
        self.asked.append(doing)
        if len(self.asked) == self._fails_at:
            raise Transient("the line dropped")
        return super().ask(doing, call)


@pytest.fixture
def many(world: MlflowWorld) -> list[str]:
    """More models than fit on the first page, oldest first."""
    names = [f"m{i:02}" for i in range(60)]
    for name in names:
        world.create_model(name)
    return names


def test_an_idle_poll_is_one_call_whatever_the_size(world: MlflowWorld, many: list[str]) -> None:
    newest = world.registry.changed(0)[0]
    client = Counted(world.uri)
    found = MlflowRegistry(client, ONCE).changed(newest.updated_ms)
    assert many[-1] in {c.name for c in found}
    assert len(client.asked) == 1


def test_a_poll_after_much_happened_is_whole_and_tells_each_model_once(world: MlflowWorld, many: list[str]) -> None:
    found = world.registry.changed(0)
    assert sorted(c.name for c in found) == many
    times = [c.updated_ms for c in found]
    assert times == sorted(times, reverse=True)


def test_a_poll_reads_on_only_while_all_of_a_page_is_newer(world: MlflowWorld, many: list[str]) -> None:
    del many
    updated = world.registry.changed(0)
    client = Counted(world.uri)
    since = updated[39].updated_ms
    found = MlflowRegistry(client, ONCE).changed(since)
    assert {c.name for c in found} == {c.name for c in updated if c.updated_ms >= since}
    assert len(client.asked) == 2


@pytest.mark.parametrize("verb", ["changed", "names", "marks"])
def test_an_answer_with_a_page_missing_is_an_error_not_a_shorter_answer(
    world: MlflowWorld, many: list[str], verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.registry.feed.PAGE", 10)
    registry = MlflowRegistry(Counted(world.uri, fails_at=2), ONCE)
    verbs: dict[str, Callable[[], object]] = {
        "changed": lambda: registry.changed(0),
        "names": registry.names,
        "marks": lambda: registry.marks(many),
    }
    with pytest.raises(Transient):
        verbs[verb]()


def test_marks_of_many_take_a_page_not_a_call_for_each(world: MlflowWorld, many: list[str]) -> None:
    world.create_version("m07", files=False)
    world.set_alias("m07", "champion", 1)
    client = Counted(world.uri)
    found = MlflowRegistry(client, ONCE).marks(many)
    assert sorted(found) == many
    assert found["m07"].champion == 1
    assert len(client.asked) == 1


def test_a_model_that_paging_missed_is_asked_for_by_name(world: MlflowWorld, many: list[str]) -> None:
    found = world.registry.marks([*many, "ghost"])
    assert found["m00"].exists
    assert not found["ghost"].exists


def test_a_deleted_model_is_told_by_a_direct_get_only(world: MlflowWorld, many: list[str]) -> None:
    world.delete_model("m30")
    assert "m30" not in world.registry.names()
    assert not world.registry.read("m30").exists
    assert "m31" in many


class Scripted(Client):
    """Answers listings from a script."""

    def __init__(self, pages: list[PagedList[RegisteredModel]]) -> None:
        super().__init__("http://127.0.0.1:1", "http://127.0.0.1:1", os.environ)
        self._pages = iter(pages)

    def ask(self, doing: str, call: Callable[[MlflowClient], T]) -> T:
        del doing, call
        return next(self._pages)  # type: ignore[return-value]


def model(name: str, updated: int | None) -> RegisteredModel:
    return RegisteredModel(name, creation_timestamp=5, last_updated_timestamp=updated)


def test_a_registry_that_gives_the_same_page_for_ever_is_an_error() -> None:
    page = PagedList([model("a", 9)], token="again")  # noqa: S106 - a page token
    with pytest.raises(Transient):
        MlflowRegistry(Scripted([page] * 9), ONCE).names()


def test_a_model_from_before_update_times_ends_no_poll() -> None:
    first = PagedList([model("ancient", None), model("new", 90)], token="2")  # noqa: S106 - a page token
    second = PagedList([model("newer", 80), model("old", 10)], token=None)
    found = MlflowRegistry(Scripted([first, second]), ONCE).changed(50)
    assert [c.name for c in found] == ["new", "newer"]


def test_a_version_that_was_committed_late_shows_with_an_overlap(world: MlflowWorld) -> None:
    """MLflow stamps the time when a request begins; a lock may hold its commit back for seconds."""
    import sqlite3

    world.create_model("late")
    world.tick()
    world.create_model("watermark")
    watermark = world.registry.changed(0)[0]
    assert watermark.name == "watermark"
    world.create_version("late", files=False)
    with sqlite3.connect(world.folder / "registry.db") as database:
        held_back = watermark.updated_ms - 1_001
        database.execute("UPDATE registered_models SET last_updated_time = ? WHERE name = 'late'", (held_back,))
    database.close()
    assert "late" not in {c.name for c in world.registry.changed(watermark.updated_ms)}
    assert "late" in {c.name for c in world.registry.changed(watermark.updated_ms - 600_000)}
