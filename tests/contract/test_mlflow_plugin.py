"""The deployer of MLflow's deployments plugins keeps the contract, with a real plugin in real processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.deployer_suite import Bench, MakeVersion, OneUncounted, WaitUntil
from tests.plugin import world
from watcher.ports import Deployer
from watcher.values import Example, Target, Version

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def zygote() -> Iterator[world.Zygote]:
    with world.zygote() as made:
        yield made


class TestMlflowPlugin(OneUncounted):
    @pytest.fixture
    def deployer(self, zygote: world.Zygote, monkeypatch: pytest.MonkeyPatch) -> Deployer:
        world.installed(monkeypatch)
        return world.Patient(run=zygote)

    @pytest.fixture
    def target(self, tmp_path: Path) -> Target:
        return world.target_at(tmp_path)

    @pytest.fixture
    def make_version(self, tmp_path: Path) -> MakeVersion:
        return lambda number: world.model(tmp_path, number)

    @pytest.fixture
    def broken_version(self, tmp_path: Path) -> Version:
        found = world.model(tmp_path, 9)
        shutil.rmtree(found.artifact_uri)
        return found

    @pytest.fixture
    def mend(self, tmp_path: Path) -> Callable[[], object]:
        return lambda: world.model(tmp_path, 9)

    @pytest.fixture
    def wait_until(self) -> WaitUntil:
        return world.eventually

    @pytest.fixture
    def example(self) -> Example:
        return world.EXAMPLE

    def test_check_finds_nothing_wrong_with_a_place_that_is_free_or_ours(
        self, bench: Bench, make_version: MakeVersion
    ) -> None:
        super().test_check_finds_nothing_wrong_with_a_place_that_is_free_or_ours(bench, make_version)
        said = bench.deployer.check(replace(bench.target, settings={**bench.target.settings, "plugin": "nobodys:/x"}))
        assert ["No MLflow deployments plugin for 'nobodys' is installed here" in each for each in said] == [True]
