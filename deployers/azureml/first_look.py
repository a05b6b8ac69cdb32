"""What the deployers rely on and nobody could try against Azure itself, read from a place where it can be seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deployers.azureml.azure import ONLINE, Azure, Family, Json
from deployers.azureml.metrics import LATENCY, REQUESTS
from deployers.azureml.scoring import DEPLOYMENT, may_be_in_clear, score
from deployers.azureml.trouble import Absent
from watcher.errors import WatcherError
from watcher.text import plain
from watcher.values import Example

DEFINITIONS = "2018-01-01"
"""API version of the list of a resource's metrics."""
NEEDED = {REQUESTS: ("deployment", "statusCodeClass"), LATENCY: ("deployment",)}


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that is relied on; `ok` is None where there is nothing yet that would show it."""

    what: str
    ok: bool | None
    found: str = ""


def look(azure: Azure, family: Family, name: str) -> Iterator[Seen]:
    """What an endpoint and its deployments say. Only reads."""
    try:
        yield from _look(azure, family, name)
    except WatcherError as error:
        yield Seen(f"the {family.word} endpoint {name} can be read", ok=False, found=str(error))


def ask(azure: Azure, name: str, example: Example) -> Iterator[Seen]:
    """Send one request to each deployment of an online endpoint, past the traffic. It changes nothing there."""
    found = azure.endpoint(ONLINE, name)
    properties = (found or {}).get("properties") or {}
    key = azure.online_key(name, str(properties.get("authMode") or "Key")) if found else ""
    for each in azure.deployments(ONLINE, name):
        deployment = str(each["name"])
        what = f"{deployment} of {name} says in {DEPLOYMENT} that it answered"
        try:
            uri = str(properties.get("scoringUri") or "")
            said = score(uri, key, deployment, example, in_clear=may_be_in_clear(properties))
        except WatcherError as error:
            yield Seen(what, ok=False, found=str(error))
        else:
            told = f"{said.status} by {plain(said.deployment or 'nobody')}, {said.ms:.0f} ms"
            yield Seen(what, said.deployment == deployment, told)


def _look(azure: Azure, family: Family, name: str) -> Iterator[Seen]:
    endpoint = azure.endpoint(family, name)
    if endpoint is None:
        yield Seen(f"the {family.word} endpoint {name}", ok=None, found="it does not exist yet")
        return
    yield Seen(f"the {family.word} endpoint {name} can be read", ok=True, found=_state(endpoint))
    deployments = azure.deployments(family, name)
    for each in deployments:
        uri = ((each.get("properties") or {}).get("properties") or {}).get("AzureAsyncOperationUri")
        what = f"the deployment {each['name']} names its operation, where a failure is told"
        if not uri:
            yield Seen(what, ok=False, found="no AzureAsyncOperationUri among its properties")
            continue
        try:
            status = plain(str(azure.operation(str(uri)).get("status") or ""), 40)
        except Absent:
            yield Seen(what, ok=None, found="Azure keeps that operation no more")
        else:
            yield Seen(what, bool(status), status)
    if not deployments:
        yield Seen(f"deployments of {name} name their operations", ok=None, found="there are none yet")
    if family is ONLINE:
        yield from _metrics(azure, name)


def _metrics(azure: Azure, name: str) -> Iterator[Seen]:
    path = f"{azure.where.online(name)}/providers/Microsoft.Insights/metricDefinitions"
    told = azure.get(path, **{"api-version": DEFINITIONS}).get("value") or ()
    there = {str((each.get("name") or {}).get("value")): each for each in told}
    for metric, dimensions in NEEDED.items():
        found = [str(each.get("value")) for each in (there.get(metric) or {}).get("dimensions") or ()]
        missing = {each.lower() for each in dimensions} - {each.lower() for each in found}
        said = f"it is split by {', '.join(found) or 'nothing'}" if metric in there else "there is no such metric"
        yield Seen(f"Azure Monitor tells {metric} by {' and '.join(dimensions)}", metric in there and not missing, said)


def _state(found: Json) -> str:
    return str((found.get("properties") or {}).get("provisioningState") or "")
