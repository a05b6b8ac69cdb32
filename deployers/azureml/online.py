"""Online endpoints of Azure ML: managed ones, and those of an attached Kubernetes cluster (AKS)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from deployers.azureml import assets, marks, metrics
from deployers.azureml.assets import NO_CODE, Parts
from deployers.azureml.azure import ONLINE, Azure, Json
from deployers.azureml.checks import objections
from deployers.azureml.endpoints import AzureEndpoints, state_of
from deployers.azureml.places import endpoint, place, workspace
from deployers.azureml.scoring import as_input_data, may_be_in_clear, score
from watcher.errors import Conflict, Terminal, UserError
from watcher.ports import Deployer
from watcher.values import Example, Kind, Mirrored, Probe, Release, SeenRelease, Target, Traffic

SHAPE = Kind.ENDPOINT
INSTANCE = "Standard_DS3_v2"
"""Azure's own recommendation for the least."""
MOST_MIRRORED = 50
"""Percent of the live requests: the service's own limit."""
_NUMBER = re.compile(r".*-v(\d{1,9})-[0-9a-f]{6}")


class AzureOnline(AzureEndpoints):
    """Endpoints with traffic."""

    family = ONLINE
    serving = assets.ONLINE

    def __init__(
        self,
        tracking_uri: str | None,
        credential: Callable[[], Any] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(tracking_uri, credential, clock, sleep)
        self._metrics = metrics.Kept()

    def probe(self, release: Release, example: Example) -> Probe:
        target, name = release.target, endpoint(release.target.settings)
        azure = self._azure(target)
        found, there = azure.endpoint(ONLINE, name), azure.deployment(ONLINE, name, release.name)
        if found is None or there is None or state_of(there) in ("Creating", "Failed", "Canceled", "Deleting"):
            raise Conflict(f"{release.name} is not ready")
        properties = found.get("properties") or {}
        if target.settings.get("environment") == NO_CODE:
            example = as_input_data(example)
        key = azure.online_key(name, str(properties.get("authMode") or "Key"))
        uri = str(properties.get("scoringUri") or "")
        said = score(uri, key, release.name, example, in_clear=may_be_in_clear(properties))
        answered = release.version.number if said.deployment == release.name else _number(said.deployment)
        detail = f"{said.size} bytes" if said.ok else f"{said.status}: {said.text}"
        if said.ok and said.deployment is None:
            return Probe(ok=False, detail="the answer does not say which deployment gave it", ms=said.ms)
        return Probe(said.ok and said.deployment == release.name, answered, detail, said.ms)

    def mirror(self, target: Target, name: str, percent: int, seen: str) -> None:
        if _compute(target):
            raise Terminal("Azure ML mirrors no requests on Kubernetes: give this model a rollout without `mirror`")
        if percent > MOST_MIRRORED:
            raise Terminal(f"Azure ML mirrors {MOST_MIRRORED} % of the requests at most, not {percent}: lower `mirror`")
        self._patiently(lambda: self._mirror(target, name, percent, seen))

    def _mirror(self, target: Target, name: str, percent: int, seen: str) -> None:
        azure, where = self._azure(target), endpoint(target.settings)
        found = azure.endpoint(ONLINE, where)
        if found is None:
            raise Conflict(f"There is no endpoint {where} yet.")
        mine, traffic = self._mine(found, target), self._traffic(found)
        self._same(where, found, mine, seen)
        others = self._copies(found).keys() - {name, mine.mirror}
        if others:
            raise Terminal(
                f"{where} mirrors to {', '.join(sorted(others))}, which this watcher did not ask for, and Azure ML"
                " mirrors to one deployment only: end that, or give this model a rollout without `mirror`"
            )
        if traffic.get(name):
            raise Conflict(f"{name} is live")
        self._all_ready(azure, where, target, found, {name: percent})
        self._put_traffic(azure, where, found, mine, traffic, {name: percent})

    def _counted(
        self,
        azure: Azure,
        name: str,
        since: float | None,
        releases: Sequence[SeenRelease],
        copies: Mapping[str, int],
    ) -> tuple[list[SeenRelease], Mirrored | None]:
        figures = self._metrics.of(azure, name, since, self._clock())
        nothing = Traffic(available=figures.told)
        # Azure Monitor counts copies like other requests; a deployment has live ones or copies, never both.
        counted = [
            replace(release, traffic=nothing if copies.get(release.name) else figures.get(release.name, nothing))
            for release in releases
        ]
        ours = next((release.name for release in releases if release.ours and copies.get(release.name)), None)
        copied = Mirrored(ours, copies[ours], figures.get(ours, nothing)) if ours is not None else None
        return counted, copied

    def _copies(self, found: Json) -> dict[str, int]:
        return _percents(found, "mirrorTraffic")

    def _new_endpoint(self, target: Target, location: str, tags: Mapping[str, str]) -> Json:
        compute = _compute(target)
        return {
            "location": location,
            "kind": "K8S" if compute else "Managed",
            "identity": {"type": "SystemAssigned"},
            "tags": dict(tags),
            "properties": {
                "authMode": str(target.settings.get("auth") or "Key"),
                "traffic": {},
                **({"compute": compute} if compute else {}),
            },
        }

    def _deployment(self, release: Release, location: str, parts: Parts) -> Json:
        target, settings = release.target, release.target.settings
        properties: Json = {
            "endpointComputeType": "Kubernetes" if _compute(target) else "Managed",
            "model": parts.model,
            "instanceType": settings.get("instance_type") or (None if _compute(target) else INSTANCE),
            "scaleSettings": {"scaleType": "Default"},
            "requestSettings": {
                "requestTimeout": f"PT{float(settings.get('request_timeout') or 60):g}S",
                "maxConcurrentRequestsPerInstance": int(settings.get("max_concurrent_requests") or 1),
            },
            "environmentId": parts.environment,
            "environmentVariables": _variables(settings),
        }
        if parts.code is not None:
            properties["codeConfiguration"] = {"codeId": parts.code, "scoringScript": parts.script}
        return {
            "location": location,
            "tags": marks.of_release(target, release.version),
            "sku": {"name": "Default", "capacity": int(settings.get("instance_count") or 1)},
            "properties": {key: value for key, value in properties.items() if value is not None},
        }

    def _traffic(self, found: Json) -> dict[str, int]:
        return _percents(found, "traffic")

    def _with_traffic(self, properties: Json, traffic: Mapping[str, int], copies: Mapping[str, int]) -> Json:
        mirrored = {"mirrorTraffic": dict(copies)} if copies or properties.get("mirrorTraffic") else {}
        return {**properties, **mirrored, "traffic": dict(traffic)}


def build(tracking_uri: str | None) -> Deployer:
    """The deployer of `azureml-online` targets. Models are fetched by way of the tracking URI."""
    return AzureOnline(tracking_uri)


def _percents(found: Json, key: str) -> dict[str, int]:
    """Deployment -> percent under a key of the endpoint's properties, only those above zero."""
    given = (found.get("properties") or {}).get(key) or {}
    return {str(name): int(percent) for name, percent in given.items() if percent}


def _variables(settings: Mapping[str, Any]) -> dict[str, str] | None:
    given = settings.get("environment_variables")
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise UserError("`environment_variables` must be names with values.")
    return {str(name): str(value) for name, value in given.items()}


def _compute(target: Target) -> str | None:
    """ARM id of the attached Kubernetes cluster, None for a managed endpoint."""
    given = target.settings.get("compute")
    if not given:
        return None
    return workspace(target.settings).compute(str(given))


def _number(deployment: str | None) -> int | None:
    """The version that a release's name carries."""
    found = _NUMBER.fullmatch(deployment or "")
    return int(found[1]) if found else None


__all__ = ["SHAPE", "AzureOnline", "build", "objections", "place"]
