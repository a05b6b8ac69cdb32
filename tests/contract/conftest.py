"""The local Azure, for the suites that run on it."""

from tests.azureml.fixtures import cloud, models, whole_cloud

__all__ = ["cloud", "models", "whole_cloud"]
