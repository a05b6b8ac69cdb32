"""The registry in memory keeps the contract."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.contract.registry_suite import RegistrySuite, World
from watcher.fakes.registry import FakeRegistry
from watcher.values import NOTHING, Artifacts, Signature, Status


class FakeWorld(World):
    def __init__(self) -> None:
        self.now = 1_000.0
        self.registry = self.fake = FakeRegistry(lambda: self.now)

    def name(self, text: str) -> str:
        return text

    def tick(self) -> None:
        self.now += 0.001

    def create_model(self, name: str) -> None:
        self.fake.create_model(name)

    def create_version(
        self,
        name: str,
        metrics: Mapping[str, float] | None = None,
        signature: Signature | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        files: bool = True,
        pending: bool = False,
    ) -> int:
        status = Status.PENDING if pending else Status.READY
        artifacts = Artifacts.PRESENT if files else Artifacts.ABSENT
        return self.fake.create_version(
            name, metrics or NOTHING, signature, status, tags=tags or NOTHING, artifacts=artifacts
        )

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self.fake.set_alias(name, alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        self.fake.delete_alias(name, alias)

    def delete_version(self, name: str, version: int) -> None:
        self.fake.delete_version(name, version)

    def delete_model(self, name: str) -> None:
        self.fake.delete_model(name)

    def rename(self, name: str, new_name: str) -> None:
        self.fake.rename(name, new_name)

    def break_crown(self, name: str) -> None:
        self.fake.break_crown(name)

    def set_tag(self, name: str, version: int, key: str, value: str) -> None:
        self.fake.set_tag(name, version, key, value)

    def log_metric(
        self, name: str, version: int, key: str, value: float, dataset: str | None = None, digest: str | None = None
    ) -> None:
        self.fake.log_metric(name, version, key, value, dataset, digest)


class TestFakeRegistry(RegistrySuite):
    @pytest.fixture(params=[True, False], ids=["dangling", "tidy"])
    def world(self, request: pytest.FixtureRequest) -> World:
        made = FakeWorld()
        made.dangling = made.fake.dangling = request.param
        return made
