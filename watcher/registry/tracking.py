"""Runs and logged models by direct get; None where this tracking server does not have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.registry.client import Client
from watcher.registry.errors import Absent
from watcher.registry.names import same

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run


def logged_model(client: Client, model_id: str) -> LoggedModel | None:
    """The logged model, None where it is deleted or elsewhere."""
    try:
        model = client.ask(f"read logged model {model_id}", lambda c: c.get_logged_model(model_id))
    except Absent:
        return None
    same(model_id, model.model_id)
    return model


def run(client: Client, run_id: str) -> Run | None:
    """The run, deleted ones too, None where it is elsewhere."""
    try:
        found = client.ask(f"read run {run_id}", lambda c: c.get_run(run_id))
    except Absent:
        return None
    same(run_id, found.info.run_id)
    return found
