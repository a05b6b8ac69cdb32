"""Continuous jobs of Databricks: the active run is ended once, and the next one is given the new version."""

from __future__ import annotations

from deployers.databricks.jobs import DatabricksJobs, place
from watcher.ports import Deployer
from watcher.values import Kind

__all__ = ["SHAPE", "build", "place"]

SHAPE = Kind.STREAM


def build(_tracking_uri: str | None) -> Deployer:
    """The deployer of `databricks-stream` targets."""
    return DatabricksJobs("databricks-stream", stream=True)
