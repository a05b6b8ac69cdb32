"""The kinds of targets there are: which module moves them, what they are, what makes two of them the same place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from watcher.errors import UserError
from watcher.ports import Deployer
from watcher.values import EvidenceOf, Kind

GROUP = "watcher.deployers"
"""Entry points of third parties: kind = `module:build`; the module also has `SHAPE` and `place`."""

KINDS: dict[str, str] = {
    "azureml-batch": "deployers.azureml.batch:build",
    "azureml-online": "deployers.azureml.online:build",
    "batch": "deployers.pointer:build",
    "databricks-job": "deployers.databricks.batch:build",
    "databricks-serving": "deployers.databricks.serving:build",
    "databricks-stream": "deployers.databricks.stream:build",
    "local-endpoint": "deployers.local_endpoint:build",
    "mlflow-plugin": "deployers.mlflow_plugin:build",
    "stream": "deployers.pointer:build",
}
"""A static table: a Functions app is not pip-installed, so entry points of its own do not exist there."""

SHAPES: dict[str, Kind] = {
    "azureml-batch": Kind.BATCH,
    "azureml-online": Kind.ENDPOINT,
    "batch": Kind.BATCH,
    "databricks-job": Kind.BATCH,
    "databricks-serving": Kind.ENDPOINT,
    "databricks-stream": Kind.STREAM,
    "local-endpoint": Kind.ENDPOINT,
    "mlflow-plugin": Kind.BATCH,
    "stream": Kind.STREAM,
}

RUNS: dict[str, str] = {
    "azureml": "deployers.azureml.evaluations:AzuremlRuns",
    "databricks": "deployers.databricks.evaluations:DatabricksRuns",
}
"""What runs evaluations on a platform, by the name of the runner."""

Build = Callable[[str | None], Deployer]
Objections = Callable[[Mapping[str, Any], EvidenceOf], Sequence[str]]
"""Settings and evidence -> one sentence each."""


def load(kind: str) -> Build:
    """The function that builds this kind of deployer from the tracking URI. Raises UserError for an unknown kind."""
    module, _, name = _where(kind).partition(":")
    build: Build = getattr(import_module(module), name or "build")
    return build


def runs(runner: str) -> Any:
    """A platform that evaluations run on: `watcher.evaluators.remote.Platform`."""
    module, _, name = RUNS[runner].partition(":")
    return getattr(import_module(module), name)()


def shape(kind: str) -> Kind:
    """What this kind of target is. Raises UserError for an unknown kind."""
    return SHAPES[kind] if kind in SHAPES else Kind(_module(kind).SHAPE)


def place(kind: str, settings: Mapping[str, Any]) -> str:
    """What makes two targets of this kind the same place. Raises UserError where a setting it needs is missing."""
    return str(_module(kind).place(kind, settings))


def environment(kind: str, settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """`{"python": "3.11.7", "packages": {name: version}}` that every release gets there; None: nothing is fixed."""
    if kind not in KINDS and kind not in _others():
        return None
    found = getattr(_module(kind), "environment", None)
    answer: Mapping[str, Any] | None = found(settings) if found is not None else None
    return answer


def objections(kind: str) -> Objections | None:
    """What a kind says of a version's evidence: whatever would keep it from serving there; None: it says nothing."""
    if kind not in KINDS and kind not in _others():
        return None
    found: Objections | None = getattr(_module(kind), "objections", None)
    return found


def _module(kind: str) -> Any:
    return import_module(_where(kind).partition(":")[0])


def _where(kind: str) -> str:
    if kind in KINDS:
        return KINDS[kind]
    others = _others()
    if kind not in others:
        raise UserError(f"There is no target kind {kind!r}; there are {', '.join(sorted({**KINDS, **others}))}.")
    return others[kind]


@cache
def _others() -> Mapping[str, str]:
    """Kinds of installed packages. Looking through all of them takes long, and they stay what they are."""
    return {point.name: point.value for point in entry_points(group=GROUP)}
