"""One target in a workspace with its deployer, as the tests of every kind of target use it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from tests.databricks.control_plane import Workspace
from watcher.naming import release_name
from watcher.ports import Deployer
from watcher.values import Identity, Observed, Release, Status, Target, Version

MODEL = "ml.risk.churn"


def version_of(number: int) -> Version:
    return Version(Identity(MODEL, number, 1_700 + number, "s"), Status.READY, "dbfs:/m")


class TargetWorld(ABC):
    """What is common: launching and shifting, each to the end of the change."""

    workspace: Workspace
    target: Target
    deployer: Deployer

    @property
    @abstractmethod
    def looks(self) -> int:
        """Looks after which a change under way is through."""

    def observe(self) -> Observed:
        return self.deployer.observe(self.target)

    def release(self, number: int) -> Release:
        version = version_of(number)
        return Release(self.target, release_name(version.identity), version)

    def settled(self) -> Observed:
        for _ in range(self.looks):
            seen = self.observe()
        return seen

    def launched(self, number: int) -> str:
        release = self.release(number)
        self.deployer.launch(release)
        self.settled()
        return release.name

    def shift(self, weights: dict[str, int]) -> Observed:
        self.deployer.shift(self.target, weights, self.observe().token)
        return self.settled()
