"""What jobs that follow a release pointer take."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from watcher.config.model import Block, Count, Size, Text


class Job(Block):
    """A batch job or a stream that reads which version to score with from a pointer."""

    name: Any = Field(default=None, description="Short name.")
    kind: Literal["batch", "stream"] = Field(description="This kind.")
    engine: Literal["delta", "spark"] = Field(default="delta", description="What the job runs on.")
    pointer: Text = Field(description="Path or URL of the document that the job reads; one of its own for each job.")
    input: Text | None = Field(default=None, description="Delta table that the job scores; versions are tried on it.")
    output: Text | None = Field(default=None, description="Where the job writes: folder of a batch job, or table.")
    checkpoint: Text | None = Field(default=None, description="Checkpoint of a stream on Spark.")
    trial: Literal["here", "none"] = Field(
        default="here",
        description="here: a version is tried on some rows, in a process beside the watcher.",
    )
    rows: Count = Field(default=1_000, description="Rows that a version is tried on.")
    memory: Size | None = Field(default=None, description="Address space that a trial may use.")
    python: Text | None = Field(default=None, description="Interpreter of the trial; by default the watcher's.")
