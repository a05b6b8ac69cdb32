"""The deployer in the guide works: it keeps what its shape allows of the contract, and the loop drives it."""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import deployers
from deployers import kinds
from tests.docs.texts import pages
from tests.loop.world import MODEL, World
from watcher.errors import Conflict, Terminal
from watcher.naming import release_name
from watcher.values import Identity, Kind, Release, Status, Target, Version

KIND = "pointer-file"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The guide's module, found by the entry point that the guide shows."""
    blocks = pages()["docs/how-to/write-a-deployer.md"].blocks
    shown = {block.language: block.text for block in blocks}
    (tmp_path / "pointer_file.py").write_text(shown["python"])
    points = tomllib.loads(shown["toml"])["project"]["entry-points"]
    assert [*points] == [deployers.GROUP]
    found = [EntryPoint(name, value, deployers.GROUP) for name, value in points[deployers.GROUP].items()]
    monkeypatch.setattr(kinds, "entry_points", lambda group: found if group == deployers.GROUP else [])
    # What is installed is looked through once a process; here it changes meanwhile.
    monkeypatch.setattr(kinds, "_others", kinds._others.__wrapped__)  # noqa: SLF001 as above
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("pointer_file")
    sys.modules.pop("pointer_file")


@pytest.fixture
def target(installed: ModuleType, tmp_path: Path) -> Target:
    assert installed.SHAPE is Kind.BATCH
    settings = {"path": str(tmp_path / "churn.json")}
    return Target("nightly", KIND, deployers.shape(KIND), MODEL, "test", deployers.place(KIND, settings), settings)


def release(target: Target, number: int) -> Release:
    version = Version(Identity(MODEL, number, 1_000 + number, "s3://models"), Status.READY, "s3://models")
    return Release(target, release_name(version.identity), version)


def live(target: Target) -> Any:
    content = json.loads(Path(target.settings["path"]).read_text())
    return content["releases"].get(content["live"], {}).get("version")


def test_the_kind_is_found_with_its_shape_and_place(target: Target) -> None:
    assert target.shape is Kind.BATCH
    assert target.place == f"{KIND}:{target.settings['path']}"
    assert deployers.load(KIND)(None).atomic


def test_its_verbs_may_be_repeated_and_refuse_what_has_changed(target: Target) -> None:
    deployer = deployers.load(KIND)(None)
    one, two = release(target, 1), release(target, 2)
    first = deployer.observe(target)
    for _ in range(2):
        deployer.launch(one)
    deployer.launch(two)
    assert deployer.observe(target).token == first.token
    deployer.shift(target, {one.name: 100}, first.token)
    with pytest.raises(Conflict):
        deployer.shift(target, {two.name: 100}, first.token)
    with pytest.raises(Conflict):
        deployer.retire(target, one.name)
    for _ in range(2):
        deployer.retire(target, two.name)
    seen = deployer.observe(target)
    assert (dict(seen.weights), [r.version for r in seen.releases]) == ({one.name: 100}, [1])
    identity = replace(one.version.identity, created_ms=7)
    with pytest.raises(Conflict):
        deployer.launch(replace(one, version=replace(one.version, identity=identity)))


def test_it_refuses_a_place_of_another_owner_or_model(target: Target) -> None:
    deployer = deployers.load(KIND)(None)
    one = release(target, 1)
    deployer.launch(one)
    assert list(deployer.check(target)) == []
    for other in (replace(target, owner="somebody-else"), replace(target, model="another")):
        assert deployer.observe(other).problem
        assert list(deployer.check(other))
        with pytest.raises(Terminal):
            deployer.launch(replace(one, target=other))
        with pytest.raises(Terminal):
            deployer.shift(other, {}, deployer.observe(target).token)


def test_the_loop_takes_a_winner_to_it_and_a_persons_order_back(target: Target) -> None:
    world = World(targets=(target,))
    built = deployers.load(KIND)(None)
    loop = world.worker()
    loop = replace(loop, sources=replace(loop.sources, deployers={KIND: built}))
    old = world.train(0.8)
    world.rest(loop)
    assert live(target) == old
    new = world.train(0.9)
    world.rest(loop)
    assert (world.champion(), live(target)) == (new, new)
    world.registry.set_champion(MODEL, old)
    world.rest(loop)
    assert (world.champion(), live(target)) == (old, old)
