"""Targets in a Databricks workspace: model serving endpoints and jobs, by way of databricks-sdk."""
