"""The fake deployer keeps the contract of the real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.contract.deployer_suite import Bench, MirroringContract, WaitUntil
from watcher.fakes.deployer import FakeDeployer
from watcher.ports import Deployer
from watcher.values import Example, Identity, Kind, Status, Target, Version


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


class TestFakeDeployer(MirroringContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def deployer(self, clock: Clock) -> FakeDeployer:
        return FakeDeployer(clock, broken={9: "no such artifacts"})

    @pytest.fixture
    def target(self) -> Target:
        return Target("api", "fake", Kind.ENDPOINT, "prod.model", "tests", "fake:api", {})

    @pytest.fixture
    def make_version(self) -> Callable[[int], Version]:
        def make(number: int) -> Version:
            return Version(Identity("prod.model", number, 1_700 + number, "s"), Status.READY, "memory:/")

        return make

    @pytest.fixture
    def broken_version(self, make_version: Callable[[int], Version]) -> Version:
        return make_version(9)

    @pytest.fixture
    def mend(self, deployer: FakeDeployer) -> Callable[[], None]:
        return deployer.broken.clear

    @pytest.fixture
    def wait_until(self, clock: Clock) -> Callable[[Callable[[], bool]], None]:
        def wait(condition: Callable[[], bool]) -> None:
            for _ in range(100):
                if condition():
                    return
                clock.now += 1
            raise AssertionError("it did not come to be within 100 seconds")

        return wait

    @pytest.fixture
    def example(self) -> Example:
        return Example(b"{}", rows=1)

    @pytest.fixture
    def traffic(self, clock: Clock) -> Callable[[], None]:
        def pass_some() -> None:
            clock.now += 10

        return pass_some


class Patient(Bench):
    """Weights are in force some time after they were accepted."""

    def shift(self, weights: dict[str, int]) -> str:
        token = super().shift(weights)
        self.wait_until(lambda: not self.observe().moving)
        return token


class TestSlowFakeDeployer(TestFakeDeployer):
    @pytest.fixture
    def deployer(self, clock: Clock) -> FakeDeployer:
        return FakeDeployer(clock, broken={9: "no such artifacts"}, shift_seconds=7.0)

    @pytest.fixture
    def bench(self, deployer: Deployer, target: Target, wait_until: WaitUntil) -> Bench:
        return Patient(deployer, target, wait_until)
