"""The registry in memory and MLflow's own answer the same to the same history, whatever it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.registry_suite import World
from tests.contract.test_registry_fake import FakeWorld
from tests.registry.mlflow_world import MlflowWorld, sqlite_registry
from watcher.errors import Conflict, Terminal, Transient, WatcherError
from watcher.values import Call, Crown, Marks, Version

NAMES = ["a", "b", "it's"]


class Pair:
    """One history, told to both registries under one clock."""

    def __init__(self, fake: FakeWorld, real: MlflowWorld, seed: int) -> None:
        self.worlds: tuple[World, World] = (fake, real)
        self.fake = fake
        self.chance = random.Random(seed)
        self.seen: dict[str, tuple[Marks, Marks]] = {name: (Marks(name), Marks(name)) for name in NAMES}
        self.told: list[str] = []

    def step(self) -> None:
        """One random act, by a person or by the loop, in both."""
        if self.chance.random() < 0.5:
            self.fake.tick()
        name, number = self.chance.choice(NAMES), self.chance.randint(0, 5)
        act = self.chance.choice(sorted(ACTS))
        crown = Crown(number or None, None, number, self.chance.random() < 0.5, self.chance.randint(0, 3))
        self.told.append(f"{act} {name} {number} {crown}")
        arguments = {"name": name, "number": number, "crown": crown, "other": self.chance.choice(NAMES)}
        answers = [
            _outcome(ACTS[act], w, arguments | {"expect": self.seen[name][i]}) for i, w in enumerate(self.worlds)
        ]
        assert answers[0] == answers[1], self.told[-8:]
        if self.chance.random() < 0.6:
            self.seen[name] = (self.worlds[0].registry.read(name), self.worlds[1].registry.read(name))

    def compare(self) -> None:
        """All that the loop could see is the same."""
        assert _state(self.worlds[0]) == _state(self.worlds[1]), self.told[-8:]


Arguments = Mapping[str, Any]
ACTS: dict[str, Callable[[World, Arguments], object]] = {
    "create model": lambda w, a: w.create_model(a["name"]),
    "create version": lambda w, a: w.create_version(a["name"], files=False, tags={"by": "ann"}),
    "create another version": lambda w, a: w.create_version(a["name"], files=False),
    "delete version": lambda w, a: w.delete_version(a["name"], a["number"]),
    "delete model": lambda w, a: w.delete_model(a["name"]) if a["number"] == 5 else None,
    "rename": lambda w, a: w.rename(a["name"], a["other"]) if a["number"] > 3 and a["name"] != a["other"] else None,
    "set champion": lambda w, a: w.set_alias(a["name"], "champion", a["number"]),
    "set challenger": lambda w, a: w.set_alias(a["name"], "challenger", a["number"]),
    "set another alias": lambda w, a: w.set_alias(a["name"], ["latest", "v3", "a b", "ok-1", "", "x"][a["number"]], 1),
    "delete champion": lambda w, a: w.delete_alias(a["name"], "champion"),
    "delete challenger": lambda w, a: w.delete_alias(a["name"], "challenger"),
    "break crown": lambda w, a: w.break_crown(a["name"]),
    "set tag": lambda w, a: w.set_tag(a["name"], a["number"], "watcher.verdict", "maybe"),
    "crown": lambda w, a: w.registry.crown(a["name"], a["number"], a["crown"], a["expect"]),
    "challenge": lambda w, a: w.registry.challenge(a["name"], a["number"] or None, a["expect"]),
    "write crown": lambda w, a: w.registry.write_crown(a["name"], a["crown"], a["expect"]),
    "tag": lambda w, a: w.registry.tag(a["name"], a["number"], list(Call)[a["number"]]),
    "untag": lambda w, a: w.registry.tag(a["name"], a["number"], None),
    "order": lambda w, a: w.registry.set_champion(a["name"], a["number"]),
    "hold": lambda w, a: w.registry.hold(a["name"], "ann" if a["number"] % 2 else None),
    "rejudge": lambda w, a: w.registry.rejudge(a["name"], a["number"]),
    "approve": lambda w, a: w.registry.approve(a["name"], a["number"], "approved_by", "ann"),
    "version": lambda w, a: _plain(w.registry.version(a["name"], a["number"])),
    "versions": lambda w, a: [_plain(v) for v in w.registry.versions(a["name"], a["number"], 2)],
}


def _outcome(act: Callable[[World, Arguments], object], world: World, arguments: Arguments) -> object:
    try:
        return act(world, arguments)
    except WatcherError as error:
        # What people do raises MLflow's own errors on one side; what ports raise is the contract.
        return (
            next(kind for kind in (Transient, Terminal, Conflict) if isinstance(error, kind))
            if _is_port(act)
            else "refused"
        )
    except Exception:  # noqa: BLE001 - MLflow's refusal of a person
        return "refused"


def _is_port(act: Callable[[World, Arguments], object]) -> bool:
    return "registry" in act.__code__.co_names


def _plain(version: object) -> object:
    """A version without its source, which the two invent differently."""
    if not isinstance(version, Version):
        return version
    identity = version.identity
    facts = (version.status, dict(version.tags), version.call, version.rejudge)
    return identity.name, identity.version, identity.created_ms, facts


def _state(world: World) -> object:
    changed = sorted(world.registry.changed(0), key=lambda c: c.name)
    models = {name: _seen(world.registry.read(name)) for name in NAMES}
    versions = {name: [_plain(v) for v in world.registry.versions(name, 0)] for name in NAMES}
    return changed, sorted(world.registry.names()), models, versions


def _seen(marks: Marks) -> object:
    return marks.champion, marks.challenger, marks.crown, marks.hold, marks.newest, marks.exists, bool(marks.problem)


@pytest.fixture
def pair(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    fake = FakeWorld()
    clock = "mlflow.store.model_registry.sqlalchemy_store.get_current_time_millis"
    monkeypatch.setattr(clock, lambda: int(fake.now * 1000))
    uri = sqlite_registry(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return Pair(fake, MlflowWorld(uri, tmp_path), request.param)


def _run(pair: Pair, steps: int) -> None:
    for step in range(steps):
        pair.step()
        if step % 5 == 0:
            pair.compare()
    pair.compare()


@pytest.mark.slow
@pytest.mark.parametrize("pair", range(4), indirect=True)
def test_the_same_history_leads_to_the_same_answers(pair: Pair) -> None:
    _run(pair, 120)


@pytest.mark.long
@pytest.mark.parametrize("pair", range(100, 106), indirect=True)
def test_the_same_long_history_leads_to_the_same_answers(pair: Pair) -> None:
    _run(pair, 500)
