"""Writes of marks survive lost answers, other writers and a registry without compare-and-set."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import TypeVar

import pytest
from mlflow import MlflowClient

from tests.registry.mlflow_world import MlflowWorld
from watcher.errors import Conflict, Terminal, Transient
from watcher.registry.client import Client
from watcher.registry.mlflow import MlflowRegistry
from watcher.registry.names import is_named
from watcher.retry import Retry
from watcher.values import Call, Crown, Gone, Marks, Version

T = TypeVar("T")


class Flaky(Client):
    """Loses one call: before it is sent, or the answer to it."""

    def __init__(self, uri: str, at: str, *, sent: bool, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__(uri, uri, os.environ)
        self._at: str | None = at
        self._sent = sent
        self._meanwhile = meanwhile

    def ask(self, doing: str, call: Callable[[MlflowClient], T]) -> T:
        if self._at is None or not doing.startswith(self._at):
            return super().ask(doing, call)
        self._at = None
        if self._sent:
            super().ask(doing, call)
        self._meanwhile()
        raise Transient("the line dropped")


@pytest.fixture
def model(world: MlflowWorld) -> str:
    world.create_model("m")
    for _ in range(3):
        world.create_version("m", files=False)
    world.set_alias("m", "champion", 1)
    world.set_alias("m", "challenger", 2)
    return "m"


CROWN = Crown(crowned=2, previous=1, floor=1, met=True, n=1)


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("at", ["read the marks", "set the alias", "write the tag"])
def test_a_crowning_whose_answer_was_lost_is_completed(world: MlflowWorld, model: str, at: str, sent: bool) -> None:
    expect = world.registry.read(model)
    registry = MlflowRegistry(Flaky(world.uri, at, sent=sent), Retry(sleep=lambda _: None))
    registry.crown(model, 2, CROWN, expect)
    assert world.registry.read(model) == Marks(model, champion=2, challenger=2, crown=CROWN, newest=3)


@pytest.mark.parametrize("at", ["set the alias", "write the tag"])
def test_a_retried_crowning_does_not_undo_what_a_person_did_meanwhile(world: MlflowWorld, model: str, at: str) -> None:
    expect = world.registry.read(model)
    flaky = Flaky(world.uri, at, sent=False, meanwhile=lambda: world.set_alias(model, "champion", 3))
    registry = MlflowRegistry(flaky, Retry(sleep=lambda _: None))
    with pytest.raises(Conflict):
        registry.crown(model, 2, CROWN, expect)
    seen = world.registry.read(model)
    assert (seen.champion, seen.crown) == (3, None)


@pytest.mark.parametrize("at", ["remove the tag watcher.verdict", "remove the tag watcher.rejudge"])
def test_a_crash_while_a_verdict_is_cleared_leaves_the_wish_to_judge_again(
    world: MlflowWorld, model: str, at: str
) -> None:
    world.registry.tag(model, 2, Call.LOSES, None)
    world.registry.rejudge(model, 2)
    with pytest.raises(Transient):
        MlflowRegistry(Flaky(world.uri, at, sent=False), Retry(attempts=1)).tag(model, 2, None, Call.LOSES)
    found = world.registry.version(model, 2)
    assert isinstance(found, Version)
    assert found.rejudge


def test_of_many_writers_with_the_same_expectation_those_who_come_late_conflict(world: MlflowWorld, model: str) -> None:
    expect = world.registry.read(model)
    world.registry.write_crown(model, CROWN, expect)
    for other in (3, 1):
        with pytest.raises(Conflict):
            world.registry.write_crown(model, Crown(crowned=other, n=1), expect)
    assert world.registry.read(model).crown == CROWN


def test_an_alias_that_points_nowhere_can_still_be_moved_and_removed(world: MlflowWorld, model: str) -> None:
    with sqlite3.connect(world.folder / "registry.db") as database:
        database.execute("UPDATE registered_model_aliases SET version = 77")
    database.close()
    seen = world.registry.read(model)
    assert (seen.champion, seen.challenger) == (77, 77)
    assert world.registry.version(model, 77) == Gone(77)
    world.registry.challenge(model, None, seen)
    world.registry.set_champion(model, 3)
    seen = world.registry.read(model)
    assert (seen.champion, seen.challenger) == (3, None)


def test_a_hold_is_kept_short_and_printable(world: MlflowWorld, model: str) -> None:
    world.client.set_registered_model_tag(model, "watcher.hold", "\x1b[31m" + "x" * 4_000)
    hold = world.registry.read(model).hold
    assert hold is not None
    assert hold.isprintable()
    assert len(hold) <= 1_000
    world.registry.hold(model, "")
    assert world.registry.read(model).hold is not None


@pytest.mark.parametrize("name", ["", "  ", "a/b", "models:/x", "x" * 300, "\ud800", "a\x00b"])
def test_a_name_that_no_model_can_have_is_refused_before_anybody_is_asked(name: str) -> None:
    registry = MlflowRegistry(Client("http://127.0.0.1:1", "http://127.0.0.1:1", {}), Retry(attempts=1))
    verbs: list[Callable[[], object]] = [
        lambda: registry.read(name),
        lambda: registry.version(name, 1),
        lambda: registry.versions(name, 0),
        lambda: registry.crown(name, 1, CROWN, Marks(name)),
        lambda: registry.hold(name, "ann"),
        lambda: registry.tag(name, 1, Call.WINS, None),
    ]
    for verb in verbs:
        with pytest.raises(Terminal, match="no registered model can be called"):
            verb()


def test_a_name_cannot_break_out_of_a_filter() -> None:
    assert is_named("a' OR name != 'b") == '''name = "a' OR name != 'b"'''
    assert is_named("""both ' and " """) == """name LIKE 'both _ and " \'"""
