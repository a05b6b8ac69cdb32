"""What a target takes that an MLflow deployments plugin moves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from watcher.config.model import Block, Text


class MlflowPlugin(Block):
    """A deployment of any MLflow deployments plugin that is installed beside the watcher."""

    name: Any = Field(default=None, description="Short name.")
    kind: Literal["mlflow-plugin"] = Field(default="mlflow-plugin", description="This kind.")
    plugin: Text = Field(description="The plugin's target URI, such as sagemaker:/us-west-2.")
    deployment: Text = Field(description="Name of the deployment that serves; releases are deployed beside it.")
    config: dict[str, Any] = Field(default={}, description="Handed to the plugin as it is, for each deployment.")
    flavor: Text | None = Field(default=None, description="Flavour that the plugin is to deploy; by default its own.")
    endpoint: Text | None = Field(default=None, description="Endpoint, of plugins that know some.")
    model_uri: Literal["files", "registry"] = Field(
        default="files", description="files: the plugin is told where the files lie. registry: models:/NAME/VERSION."
    )
    state: Text = Field(default="state/plugins", description="Folder that remembers what was asked of the plugin.")
