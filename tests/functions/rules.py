"""The rules by which the host of Azure Functions takes an app or leaves it, as far as they can be held against files.

From the host's own sources and documentation: a function that breaks one is not indexed, or the host does not start.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cronsim import CronSim, CronSimError

FUNCTION = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")
BINDING = re.compile(r"(?!.*__)[a-zA-Z][a-zA-Z0-9]{0,127}|\$return")
"""Without underscores, which hosts before 4.1038 refuse."""
QUEUE = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
RESERVED = ("admin", "runtime")
IN_QUEUES = {"batchSize": (1, 32), "newBatchThreshold": (0, 1_000), "maxDequeueCount": (1, 100)}
FIELDS = (5, 6)


def of_functions(functions: list[dict[str, Any]], settings: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each rule that a function breaks; `functions` as the worker reports them."""
    yield from (f"the name {name} is there {n} times" for name, n in Counter(_names(functions)).items() if n > 1)
    routes = Counter(
        (binding["route"], method)
        for function in functions
        for binding in function["bindings"]
        if binding["type"] == "httpTrigger"
        for method in binding["methods"]
    )
    yield from (f"the route {route} has {n} functions" for route, n in routes.items() if n > 1)
    for function in functions:
        yield from (f"{function['name']}: {broken}" for broken in _of_function(function, settings))


def _names(functions: list[dict[str, Any]]) -> list[str]:
    return [function["name"].lower() for function in functions]


def _of_function(function: dict[str, Any], settings: Mapping[str, str]) -> Iterator[str]:
    bindings = function["bindings"]
    if not FUNCTION.fullmatch(function["name"]) or function["name"].lower() == "host":
        yield "the name is none"
    if sum(binding["type"].endswith("Trigger") for binding in bindings) != 1:
        yield "there must be one trigger"
    if len({binding["name"] for binding in bindings}) != len(bindings):
        yield "two bindings have one name"
    for binding in bindings:
        yield from _of_binding(binding, settings)
    for variable in re.findall(r"%([^%]+)%", json.dumps(bindings, default=str)):
        if variable not in settings:
            yield f"the setting {variable} is not there"


def _of_binding(binding: dict[str, Any], settings: Mapping[str, str]) -> Iterator[str]:
    if not BINDING.fullmatch(binding["name"]):
        yield f"the binding's name {binding['name']} is none"
    if binding["type"] in ("queue", "queueTrigger"):
        if not QUEUE.fullmatch(binding["queueName"]) or binding["queueName"].endswith("-poison"):
            yield f"{binding['queueName']} is no name of a queue"
        if binding["connection"] not in settings and f"{binding['connection']}__accountName" not in settings:
            yield f"the connection {binding['connection']} is not in the settings"
    if binding["type"] == "timerTrigger":
        yield from _schedule(binding["schedule"])
    if binding["type"] == "httpTrigger" and binding["route"].split("/")[0].lower() in RESERVED:
        yield f"the route {binding['route']} is the host's own"


def _schedule(schedule: str) -> Iterator[str]:
    try:
        CronSim(schedule, datetime.now(UTC))
    except CronSimError:
        yield f"{schedule!r} is no schedule"
    if len(schedule.split()) not in FIELDS:
        yield f"{schedule!r} has neither five nor six fields"


def of_host(host: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each rule that host.json breaks."""
    if host.get("version") != "2.0":
        yield "version must be 2.0"
    bundle = host.get("extensionBundle", {})
    if bundle.get("id") != "Microsoft.Azure.Functions.ExtensionBundle" or bundle.get("version") != "[4.*, 5.0.0)":
        yield "the queue trigger comes with extension bundle 4"
    for key, (least, most) in IN_QUEUES.items():
        value = host.get("extensions", {}).get("queues", {}).get(key, least)
        if not least <= value <= most:
            yield f"queues.{key} must be {least} to {most}"
    for span in (host.get("functionTimeout"), host["extensions"]["queues"]["visibilityTimeout"]):
        if not re.fullmatch(r"\d\d:[0-5]\d:[0-5]\d", str(span)):
            yield f"{span} is no time span"


def of_folder(folder: Path) -> Iterator[str]:
    """A sentence for each file that would keep the app from being found."""
    for stray in folder.glob("*/function.json"):
        yield f"{stray} makes the host look for functions of the old model"
    for name in ("azure", "typing", "logging", "json", "cronsim", "mlflow"):
        if (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists():
            yield f"{name} shadows a module"


def of_settings(settings: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each rule that local.settings.json breaks."""
    if settings.get("IsEncrypted") is not False:
        yield "IsEncrypted must be false"
    values = settings.get("Values", {})
    yield from (f"{key} must be a text" for key, value in values.items() if not isinstance(value, str))
    if values.get("FUNCTIONS_WORKER_RUNTIME") != "python":
        yield "FUNCTIONS_WORKER_RUNTIME must be python"
