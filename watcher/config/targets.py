"""What each kind of target that comes with the watcher takes, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from watcher.config.azureml import AzuremlBatch, AzuremlOnline
from watcher.config.databricks import DatabricksJob, DatabricksServing
from watcher.config.jobs import Job
from watcher.config.model import Block, LocalEndpoint
from watcher.config.plugin import MlflowPlugin

TARGETS: Mapping[str, type[Block]] = MappingProxyType(
    {
        "local-endpoint": LocalEndpoint,
        "batch": Job,
        "stream": Job,
        "azureml-batch": AzuremlBatch,
        "azureml-online": AzuremlOnline,
        "databricks-serving": DatabricksServing,
        "databricks-job": DatabricksJob,
        "databricks-stream": DatabricksJob,
        "mlflow-plugin": MlflowPlugin,
    }
)
"""Kinds whose keys are all known; the others' are the deployer's own affair."""
