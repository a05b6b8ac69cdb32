"""Batch jobs of Databricks: the next run scores with what the parameter names."""

from __future__ import annotations

from deployers.databricks.jobs import DatabricksJobs, place
from watcher.ports import Deployer
from watcher.values import Kind

__all__ = ["SHAPE", "build", "place"]

SHAPE = Kind.BATCH


def build(_tracking_uri: str | None) -> Deployer:
    """The deployer of `databricks-job` targets."""
    return DatabricksJobs("databricks-job")
