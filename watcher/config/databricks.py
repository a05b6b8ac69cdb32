"""What targets in a Databricks workspace take."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from watcher.config.model import Block, Switch, Text

HOST = "URL of the workspace; without it: DATABRICKS_HOST, or what the profile says."
PROFILE = "Section of the Databricks configuration file that says how to sign in."


class DatabricksServing(Block):
    """A model serving endpoint of Databricks."""

    name: Any = Field(default=None, description="Short name.")
    kind: Literal["databricks-serving"] = Field(default="databricks-serving", description="This kind.")
    endpoint: Text = Field(description="The endpoint's name, made where it does not exist.")
    host: Text | None = Field(default=None, description=HOST)
    profile: Text | None = Field(default=None, description=PROFILE)
    workload_size: Text = Field(default="Small", description="Small, Medium, Large, or a size of the workspace's own.")
    workload_type: Text | None = Field(default=None, description="CPU by default, or a GPU type such as GPU_SMALL.")
    scale_to_zero: Switch = Field(default=False, description="Whether a release without requests may be stopped.")
    environment_variables: dict[str, Text] = Field(
        default={}, description="Set for each release; a secret as {{secrets/SCOPE/KEY}}."
    )


class DatabricksJob(Block):
    """A job of Databricks, one parameter of which names the model's URI; a stream's job is continuous."""

    name: Any = Field(default=None, description="Short name.")
    kind: Literal["databricks-job", "databricks-stream"] = Field(description="This kind.")
    job_id: int = Field(gt=0, description="The job's number.")
    parameter: Text = Field(description="Job parameter that holds models:/NAME/VERSION.")
    host: Text | None = Field(default=None, description=HOST)
    profile: Text | None = Field(default=None, description=PROFILE)
    trial: dict[str, Any] | None = Field(
        default=None,
        description="Job parameters of a run that scores some rows and writes none, before the switch; job_id: the"
        " number of another job to run it.",
    )
