"""What the settings say about each kind of target: its shape, its place, its paths and its defaults."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from watcher.config import units
from watcher.values import Kind

SHAPES: Mapping[str, Kind] = MappingProxyType(
    {
        "local-endpoint": Kind.ENDPOINT,
        "azureml-online": Kind.ENDPOINT,
        "azureml-batch": Kind.BATCH,
        "databricks-serving": Kind.ENDPOINT,
        "databricks-job": Kind.BATCH,
        "databricks-stream": Kind.STREAM,
        "batch": Kind.BATCH,
        "stream": Kind.STREAM,
        "mlflow-plugin": Kind.BATCH,
    }
)
"""The kinds that come with the watcher; third parties add to them."""

MIRRORING: Mapping[str, int] = MappingProxyType({"azureml-online": 50, "local-endpoint": 100})
"""The endpoints that can copy live requests to a challenger -> the most of them, in percent."""
COMPARING = frozenset({"local-endpoint"})
"""Those that compare the answers to copies with what the clients were given."""

REQUIRED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "local-endpoint": ("port",),
        "azureml-online": ("workspace", "endpoint"),
        "azureml-batch": ("workspace", "endpoint", "compute"),
        "databricks-serving": ("endpoint",),
        "databricks-job": ("job_id", "parameter"),
        "mlflow-plugin": ("plugin", "deployment"),
        "batch": ("pointer",),
        "stream": ("pointer",),
    }
)
"""Settings without which a target of the kind has no place."""

_PLACES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "azureml-online": ("workspace", "endpoint"),
        "azureml-batch": ("workspace", "endpoint"),
        "databricks-serving": ("host", "endpoint"),
        "databricks-job": ("host", "job_id", "parameter"),
        "mlflow-plugin": ("plugin", "deployment"),
        "batch": ("pointer",),
        "stream": ("pointer",),
    }
)
_PATHS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "azureml-batch": ("scoring_script",),
        "azureml-online": ("scoring_script",),
        "local-endpoint": ("gateway",),
        "mlflow-plugin": ("state",),
        "batch": ("pointer", "input", "output"),
        "stream": ("pointer", "input", "output", "checkpoint"),
    }
)
_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "local-endpoint": {
            "host": "127.0.0.1",
            "gateway": "state/gateway",
            "memory": None,
            "env": "auto",
            "autostart": True,
        },
        "mlflow-plugin": {"state": "state/plugins"},
    }
)


def place(kind: str, settings: Mapping[str, Any]) -> str:
    """What makes two targets the same place, for example `local-endpoint:127.0.0.1:5001`.

    Of a kind that is not known here, all settings together; as a digest, since they may hold what must not be shown.
    """
    if kind == "local-endpoint":
        host = str(settings.get("host", _DEFAULTS[kind]["host"])).lower()
        return f"{kind}:{'127.0.0.1' if host in ('localhost', '::1') else host}:{settings.get('port')}"
    keys = _PLACES.get(kind)
    if keys is not None:
        return ":".join([kind, *(str(settings[key]) for key in keys if settings.get(key) is not None)])
    return f"{kind}:{hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]}"


def complete(kind: str, settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with the kind's defaults, paths made absolute from `folder`, sizes in bytes."""
    full = {**_DEFAULTS.get(kind, {}), **settings}
    for key in _PATHS.get(kind, ()):
        value = full.get(key)
        if isinstance(value, str) and not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", value):
            full[key] = str(folder.absolute() / value)
    if kind == "local-endpoint" and isinstance(full["memory"], str):
        full["memory"] = units.size(full["memory"])
    return full
