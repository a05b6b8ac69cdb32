"""Targets on Azure Machine Learning, as the user's file writes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from watcher.config.model import Block, Count, Duration, Size, Text

Workspace = Annotated[Text, Field(description="The workspace, as SUBSCRIPTION/RESOURCE-GROUP/NAME or its resource id.")]
Environment = Annotated[
    Text,
    Field(description="auto: built from the model's own requirements. no-code: the service's own. Or NAME:VERSION."),
]


class AzuremlBatch(Block):
    """A batch endpoint of Azure ML: its jobs score with the default deployment."""

    name: Any = Field(default=None, description="Short name.")
    kind: Literal["azureml-batch"] = Field(default="azureml-batch", description="This kind.")
    workspace: Workspace
    endpoint: Text = Field(description="The endpoint's name, made where it does not exist.")
    compute: Text = Field(description="Cluster of the workspace that the jobs run on.")
    instance_count: Count = Field(default=1, description="Instances of each job.")
    mini_batch_size: Count = Field(default=10, description="Files that one call of the scoring script is given.")
    max_concurrency: Count = Field(default=1, description="Calls at once on each instance.")
    environment: Environment = Field(default="auto")
    image: Text | None = Field(default=None, description="With environment: auto: the image it is built upon.")
    scoring_script: Text | None = Field(
        default=None, description="A file of one's own; its folder is uploaded. By default ours, for CSV and Parquet."
    )
    probe_data: Text | None = Field(
        default=None,
        description="azureml:// or https:// address of some rows, a folder's with a / at its end: scored as the probe.",
    )
    max_artifacts: Size | None = Field(
        default=None, description="The largest model that is registered in the workspace again."
    )


class AzuremlOnline(Block):
    """An online endpoint of Azure ML: managed, or on an attached Kubernetes cluster."""

    name: Any = Field(default=None, description="Short name.")
    kind: Literal["azureml-online"] = Field(default="azureml-online", description="This kind.")
    workspace: Workspace
    endpoint: Text = Field(description="The endpoint's name, made where it does not exist.")
    instance_type: Text | None = Field(
        default=None, description="Machine of each instance; Standard_DS3_v2 on managed endpoints by default."
    )
    instance_count: Count = Field(default=1, description="Instances of each release.")
    compute: Text | None = Field(default=None, description="Attached Kubernetes cluster; without it: managed.")
    environment: Environment = Field(default="auto")
    image: Text | None = Field(default=None, description="With environment: auto: the image it is built upon.")
    scoring_script: Text | None = Field(
        default=None, description="A file of one's own; its folder is uploaded. By default MLflow's own protocol."
    )
    environment_variables: dict[str, Text] = Field(default={}, description="Set in the container of each release.")
    auth: Literal["Key", "AMLToken", "AADToken"] = Field(
        default="Key", description="How clients of an endpoint that is made here prove who they are."
    )
    request_timeout: Duration = Field(default=60.0, description="After so long a request is given up.")
    max_concurrent_requests: Count = Field(default=1, description="At once for each instance; more are answered 429.")
    max_artifacts: Size | None = Field(
        default=None, description="The largest model that is registered in the workspace again."
    )
