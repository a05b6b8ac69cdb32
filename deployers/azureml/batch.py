"""Batch endpoints of Azure ML: jobs that score whole folders with whatever deployment is the default."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http import HTTPStatus

from deployers.azureml import assets, marks
from deployers.azureml.assets import Parts
from deployers.azureml.azure import BATCH, Azure, Json
from deployers.azureml.checks import objections
from deployers.azureml.endpoints import ALL, AzureEndpoints, state_of, tags_of
from deployers.azureml.places import endpoint, place, workspace
from deployers.azureml.scoring import start_job
from deployers.azureml.trouble import codes, failure
from watcher.errors import Conflict, Terminal, Transient, UnderWay, UserError
from watcher.ports import Deployer
from watcher.text import plain
from watcher.values import Example, Kind, Probe, Release, Target

SHAPE = Kind.BATCH
JOB = "watcher.probe"
"""Tag of a deployment: the scoring job that asks it, a digest of what it is asked, which one it is of that."""
RUNNING = 60.0
"""Seconds until a scoring job is looked at again."""
MOST_JOBS = 3
"""Scoring jobs that a probe begins before it fails for want of one that says something of the release."""
GONE = "gone"
_SILENT = frozenset({GONE, "Canceled", "NotResponding"})
"""How a job ends that says nothing of the release."""
_PLATFORM = frozenset({"AzureStorageError", "PreemptionError", "RequestThrottled", "ServiceError", "TransientError"})
"""Codes in a failed job's error that blame Azure, not what ran."""


class AzureBatch(AzureEndpoints):
    """Endpoints with a default deployment, which is what new jobs are scored with."""

    family = BATCH
    serving = assets.BATCH

    def probe(self, release: Release, example: Example) -> Probe:
        """Score `probe_data` by a job of the release itself, and read back how it ended. Without: it is staged.

        The job takes minutes: until it has ended, `UnderWay`. Its name is kept on the deployment. One that says
        nothing of the release is followed by another, `MOST_JOBS` in all; the look after that begins anew.
        """
        name, target = endpoint(release.target.settings), release.target
        azure = self._azure(target)
        found, there = azure.endpoint(BATCH, name), azure.deployment(BATCH, name, release.name)
        if found is None or there is None or state_of(there) != "Succeeded":
            raise Conflict(f"{release.name} is not ready")
        data = target.settings.get("probe_data")
        if not data:
            return Probe(ok=True, version=marks.version_of(tags_of(there)), detail="staged; no `probe_data` to score")
        asked = hashlib.sha256(str(data).encode()).hexdigest()[:8]
        job, of, tries = _job(tags_of(there))
        if not job or of != asked:
            self._begin(azure, release, found, there, asked, 1)
            raise UnderWay(f"a job scores {plain(data)} with {release.name}", RUNNING)
        running = azure.job(job)
        status = GONE if running is None else str((running.get("properties") or {}).get("status") or "started")
        if status == "Completed":
            return Probe(ok=True, version=marks.version_of(tags_of(there)), detail=f"job {plain(job)} completed")
        if status != "Failed" and status not in _SILENT:
            raise UnderWay(f"job {plain(job)} with {release.name}: {status}", RUNNING)
        error = azure.job_error(job) if status == "Failed" else {}
        said = f"job {plain(job)}: {status}{f' ({failure(error)})' if error else ''}"
        if status not in _SILENT and _PLATFORM.isdisjoint(codes(error)):
            return Probe(ok=False, version=release.version.number, detail=said)
        if tries < MOST_JOBS:
            self._begin(azure, release, found, there, asked, tries + 1)
            raise UnderWay(f"{said}; another one scores {plain(data)} with {release.name}", RUNNING)
        self._keep(azure, release, there, "")
        return Probe(ok=False, version=release.version.number, detail=f"{MOST_JOBS} jobs scored nothing; {said}")

    def _begin(self, azure: Azure, release: Release, found: Json, there: Json, asked: str, tries: int) -> None:
        uri = str((found.get("properties") or {}).get("scoringUri") or "")
        data = str(release.target.settings["probe_data"])
        status, job, text = start_job(uri, azure.ml_token(), release.name, data)
        if status not in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED) or not job:
            sentence = f"could not start a scoring job of {release.name}: {status}: {text}"
            later = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
            raise Transient(sentence, RUNNING) if later else Terminal(sentence)
        self._keep(azure, release, there, f"{job}={asked}={tries}")

    def _keep(self, azure: Azure, release: Release, there: Json, job: str) -> None:
        name, tags = endpoint(release.target.settings), {**tags_of(there), JOB: job}
        self._write(azure, name, lambda: azure.tag_deployment(BATCH, name, release.name, tags))

    def _new_endpoint(self, target: Target, location: str, tags: Mapping[str, str]) -> Json:
        return {
            "location": location,
            "identity": {"type": "SystemAssigned"},
            "tags": dict(tags),
            "properties": {"authMode": "AADToken"},
        }

    def _deployment(self, release: Release, location: str, parts: Parts) -> Json:
        settings = release.target.settings
        properties: Json = {
            "model": {"referenceType": "Id", "assetId": parts.model},
            "compute": _compute(release.target),
            "resources": {"instanceCount": int(settings.get("instance_count") or 1)},
            "environmentId": parts.environment,
            "miniBatchSize": int(settings.get("mini_batch_size") or 10),
            "maxConcurrencyPerInstance": int(settings.get("max_concurrency") or 1),
            "outputAction": "AppendRow",
            "outputFileName": "predictions.csv",
        }
        properties["environmentVariables"] = {"WATCHER_VERSION": str(release.version.number)}
        if parts.code is not None:
            properties["codeConfiguration"] = {"codeId": parts.code, "scoringScript": parts.script}
        return {
            "location": location,
            "tags": marks.of_release(release.target, release.version),
            "properties": {key: value for key, value in properties.items() if value is not None},
        }

    def _traffic(self, found: Json) -> dict[str, int]:
        name = ((found.get("properties") or {}).get("defaults") or {}).get("deploymentName")
        return {str(name): ALL} if name else {}

    def _with_traffic(self, properties: Json, traffic: Mapping[str, int], copies: Mapping[str, int]) -> Json:
        if len(traffic) > 1:
            raise Terminal(f"a batch endpoint serves one release whole, by its default deployment, not {dict(traffic)}")
        return {**properties, "defaults": {"deploymentName": next(iter(traffic), None)}}


def build(tracking_uri: str | None) -> Deployer:
    """The deployer of `azureml-batch` targets. Models are fetched by way of the tracking URI."""
    return AzureBatch(tracking_uri)


def _job(tags: Mapping[str, str]) -> tuple[str, str, int]:
    """The scoring job that is kept on a deployment, what it was asked, which one it is of that; empty without."""
    job, of, tries = (*str(tags.get(JOB) or "").split("="), "", "")[:3]
    return job, of, int(tries) if tries.isdecimal() and len(tries) == 1 else MOST_JOBS


def _compute(target: Target) -> str:
    given = target.settings.get("compute")
    if not given:
        raise UserError(f"Target {target.key}: `compute` must name the cluster that its jobs run on.")
    return workspace(target.settings).compute(str(given))


__all__ = ["SHAPE", "AzureBatch", "build", "objections", "place"]
