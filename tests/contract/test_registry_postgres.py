"""MLflow's client on Postgres keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.registry_suite import RegistrySuite, World
from tests.registry.mlflow_world import MlflowWorld
from tests.registry.postgres import postgres
from watcher.errors import Terminal
from watcher.registry import tags
from watcher.values import Crown

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with postgres() as database:
        yield database


class TestPostgresRegistry(RegistrySuite):
    @pytest.fixture
    def world(self, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return MlflowWorld(uri, tmp_path, shared=True)

    def test_what_we_write_fits_where_five_thousand_characters_are_the_limit(self, world: World, model: str) -> None:
        big = 2**31 - 1
        crown = Crown(big, big, big, met=False, n=big, displaced=big)
        world.registry.write_crown(model, crown, world.registry.read(model))
        world.registry.hold(model, "x" * 90_000)
        world.registry.approve(model, 1, "approved_by", "x" * 90_000)
        seen = world.registry.read(model)
        assert seen.crown == crown
        assert seen.hold is not None
        assert len(seen.hold) == tags.LONGEST

    def test_a_tag_name_that_the_registry_refuses_is_terminal(self, world: World, model: str) -> None:
        with pytest.raises(Terminal):
            world.registry.approve(model, 1, "x" * 300, "ann")
