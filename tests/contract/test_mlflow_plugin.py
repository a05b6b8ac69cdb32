"""The deployer of MLflow's deployments plugins keeps the contract, with a real plugin in real processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.deployer_suite import Bench, DeployerContract, MakeVersion, WaitUntil
from tests.plugin import world
from watcher.errors import Conflict, Terminal
from watcher.ports import Deployer
from watcher.values import Example, Target, Version

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def zygote() -> Iterator[world.Zygote]:
    with world.zygote() as made:
        yield made


class TestMlflowPlugin(DeployerContract):
    """A deployment serves one release and tells no figures, so what the suite says of several is refused."""

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

    @pytest.fixture
    def traffic(self) -> Callable[[], Any]:
        return lambda: None

    def test_weights_are_absolute(self, bench: Bench, make_version: MakeVersion) -> None:
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        for weights in ({one.name: 100}, {two.name: 100}, {one.name: 100}):
            bench.shift(weights)
            assert dict(bench.observe().weights) == weights
        with pytest.raises(Terminal, match="one release"):
            bench.shift({one.name: 90, two.name: 10})
        assert dict(bench.observe().weights) == {one.name: 100}

    def test_a_live_release_is_not_retired(self, bench: Bench, make_version: MakeVersion) -> None:
        one = bench.launched(make_version(1))
        bench.shift({one.name: 100})
        with pytest.raises(Conflict):
            bench.deployer.retire(bench.target, one.name)
        assert dict(bench.observe().weights) == {one.name: 100}

    def test_counts_start_again_with_each_write_of_the_weights(
        self, bench: Bench, make_version: MakeVersion, traffic: Callable[[], Any]
    ) -> None:
        one = bench.launched(make_version(1))
        bench.shift({one.name: 100})
        seen = bench.seen(one.name)
        assert seen is not None
        assert not seen.traffic.available

    def test_check_finds_nothing_wrong_with_a_place_that_is_free_or_ours(
        self, bench: Bench, make_version: MakeVersion
    ) -> None:
        super().test_check_finds_nothing_wrong_with_a_place_that_is_free_or_ours(bench, make_version)
        said = bench.deployer.check(replace(bench.target, settings={**bench.target.settings, "plugin": "nobodys:/x"}))
        assert ["No MLflow deployments plugin for 'nobodys' is installed here" in each for each in said] == [True]
