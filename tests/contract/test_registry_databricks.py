"""A Databricks workspace's registry and Unity Catalog keep the contract, asked over HTTP by MLflow's own stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.registry_suite import HOSTILE_NAMES, RegistrySuite, World
from tests.databricks.control_plane import Workspace
from tests.databricks.registry_world import DatabricksWorld, workspace
from watcher.errors import Terminal

pytestmark = pytest.mark.slow

QUOTED = [text for text in HOSTILE_NAMES if "'" in text]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with workspace(tmp_path_factory.mktemp("workspace")) as found:
        yield found


class DatabricksSuite(RegistrySuite):
    """Neither registry can be asked for the versions of a name with a quote in it: such a name is refused, told why."""

    @pytest.mark.parametrize("text", [text for text in HOSTILE_NAMES if text not in QUOTED])
    def test_a_hostile_name_is_a_name_like_any_other(self, world: World, text: str) -> None:
        super().test_a_hostile_name_is_a_name_like_any_other(world, text)

    @pytest.mark.parametrize("text", QUOTED)
    def test_a_name_that_no_filter_can_hold_is_refused(self, world: World, text: str) -> None:
        name = world.name(text)
        world.create_model(name)
        for ask in (
            world.registry.read,
            lambda n: world.registry.versions(n, 0),
            lambda n: world.registry.hold(n, "a"),
        ):
            with pytest.raises(Terminal, match="contains a quote"):
                ask(name)


class TestUnityCatalog(DatabricksSuite):
    @pytest.fixture
    def world(self, running: Workspace, tmp_path: Path) -> World:
        return DatabricksWorld("databricks-uc", running, tmp_path)


class TestWorkspaceRegistry(DatabricksSuite):
    @pytest.fixture
    def world(self, running: Workspace, tmp_path: Path) -> World:
        return DatabricksWorld("databricks", running, tmp_path)
