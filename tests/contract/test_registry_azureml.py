"""An Azure ML workspace's registry keeps the contract, asked over HTTPS by azureml-mlflow's own stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.azureml.registry_plane import NAMES, AzurePlane
from tests.azureml.registry_world import AzureWorld, workspace
from tests.contract.registry_suite import HOSTILE_NAMES, RegistrySuite, World
from watcher.errors import Terminal
from watcher.values import Version

pytestmark = pytest.mark.slow

NEVER = [text for text in HOSTILE_NAMES if NAMES.fullmatch(text) is None]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzurePlane]:
    with workspace(tmp_path_factory.mktemp("workspace")) as found:
        yield found


class TestAzureRegistry(RegistrySuite):
    """It has no names of other than letters, digits, '.', '-' and '_', and no data set of a metric."""

    @pytest.fixture
    def world(self, running: AzurePlane, tmp_path: Path) -> World:
        return AzureWorld(running, tmp_path)

    @pytest.mark.parametrize("text", ["a.b_c-1"])
    def test_a_hostile_name_is_a_name_like_any_other(self, world: World, text: str) -> None:
        super().test_a_hostile_name_is_a_name_like_any_other(world, text)

    @pytest.mark.parametrize("text", NEVER)
    def test_a_name_that_no_model_can_have_is_refused(self, world: World, text: str) -> None:
        name = world.name(text)
        for ask in (
            world.registry.read,
            lambda n: world.registry.versions(n, 0),
            lambda n: world.registry.hold(n, "a"),
        ):
            with pytest.raises(Terminal, match="letters, digits"):
                ask(name)

    def test_the_last_metric_logged_counts_with_its_data_set(self, world: World) -> None:
        name = world.name("scored")
        number = world.create_version(name, {"auc": 0.9})
        world.tick()
        world.log_metric(name, number, "auc", 0.8, "holdout", "abc12345")
        found = world.registry.version(name, number)
        assert isinstance(found, Version)
        metric = world.registry.of(found).metrics["auc"]
        assert (metric.value, metric.dataset) == (0.8, None)
