"""What `watcher check` asks Azure before anything is created. It only reads."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deployers.azureml import marks
from deployers.azureml.assets import NO_CODE
from deployers.azureml.azure import BATCH, ONLINE, PERMISSIONS, Azure, Family, Json
from deployers.azureml.places import PROVIDER, endpoint
from deployers.azureml.trouble import Absent
from watcher.errors import Conflict, Terminal, Transient, UserError
from watcher.naming import LONGEST
from watcher.text import plain
from watcher.values import Artifacts, EvidenceOf, Target

VERSION = "2023-10-01"
"""API version of sizes and quotas."""
ALL = 100
MOST_DEPLOYMENTS = 20
"""The service's own limit for one endpoint."""
MOST_INSTANCES = 50
"""The same for one deployment."""
MOST_SECONDS, MOST_SECONDS_THERE = 180, 300
"""The longest `request_timeout`, on managed endpoints and on a cluster."""
LONGEST_THERE = 62 - LONGEST
"""Characters of an endpoint's name on a cluster, where the deployment's is appended to it."""
LAST_WITHOUT_CODE = (3, 6)
"""The last MLflow whose models the service is known to serve without a scoring script."""
RESERVED = 1.2
"""Managed endpoints reserve a fifth more than they use, for upgrades."""
_WS = f"{PROVIDER}/workspaces"
_CREDENTIALS = {"key": "listkeys", "amltoken": "token", "aadtoken": "score"}
"""How clients of an online endpoint prove who they are -> the action that a probe needs."""
_METRICS = "Microsoft.Insights/metrics/read"
_NEEDED = (
    f"{_WS}/{{endpoints}}/read",
    f"{_WS}/{{endpoints}}/write",
    f"{_WS}/{{endpoints}}/deployments/read",
    f"{_WS}/{{endpoints}}/deployments/write",
    f"{_WS}/{{endpoints}}/deployments/delete",
    f"{_WS}/models/versions/write",
    f"{_WS}/environments/versions/write",
    f"{_WS}/codes/versions/write",
    f"{_WS}/datastores/listsecrets/action",
)
"""What the identity must be allowed to do in the workspace."""


def objections(settings: Mapping[str, Any], evidence: EvidenceOf) -> list[str]:
    """What would keep a version from serving in a deployment, one sentence each."""
    if evidence.artifacts is not Artifacts.PRESENT:
        return []
    said = []
    if evidence.flavors and "python_function" not in evidence.flavors:
        said.append("it has no flavour python_function, and nothing else is served")
    if settings.get("environment") == NO_CODE:
        if _newer(evidence.mlflow):
            said.append(
                f"it was logged with MLflow {plain(evidence.mlflow, 40)}, and models of 3.7 or newer are known not to"
                " start as no-code: write `environment: auto`, or log it with an older MLflow"
            )
        if evidence.signature is None:
            said.append("it has no signature, by which no-code serving reads requests: log it with one")
    return said


def _newer(mlflow: str | None) -> bool:
    found = re.match(r"(\d{1,4})\.(\d{1,4})", mlflow or "")
    return found is not None and (int(found[1]), int(found[2])) > LAST_WITHOUT_CODE


def problems(azure: Azure, family: Family, target: Target) -> list[str]:
    """One sentence for each thing that would fail."""
    try:
        return list(_problems(azure, family, target))
    except (Conflict, Terminal, Transient, UserError) as error:
        return [str(error)]


def _problems(azure: Azure, family: Family, target: Target) -> Iterator[str]:
    name = endpoint(target.settings)
    if azure.workspace() is None:
        yield f"There is no workspace {azure.where.name} in the resource group {azure.where.group}."
        return
    there = azure.endpoint(family, name)
    if there is not None and (problem := marks.foreign(marks.of_endpoint(there.get("tags") or {}), target)):
        yield problem
        return
    word = f"{family.word}Endpoints"
    needed = [action.format(endpoints=word) for action in _NEEDED]
    if family is ONLINE:
        auth = str(((there or {}).get("properties") or {}).get("authMode") or target.settings.get("auth") or "Key")
        needed.append(f"{_WS}/onlineEndpoints/{_CREDENTIALS.get(auth.lower(), 'listkeys')}/action")
    missing = not_allowed(_permissions(azure, azure.where.arm_id), needed)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""  # noqa: PLR2004 - enough to find the role by
        yield (
            f"The identity lacks {', '.join(missing[:3])}{more} in the workspace: give it the role AzureML Data"
            " Scientist there."
        )
    if family is ONLINE:
        yield from _limits(name, target)
        yield from _figures(azure, name, there)
    if there is not None:
        yield from _endpoint(azure, family, name, there, target)
    yield from _environment(azure, target)
    if target.settings.get("compute"):
        yield from _compute(azure, str(target.settings["compute"]))
    elif family is BATCH:
        yield "`compute` must name the cluster that the jobs run on."
    if family is ONLINE and not target.settings.get("compute"):
        yield from _size(azure, target)


def _permissions(azure: Azure, scope: str) -> Json:
    return azure.get(f"{scope}/providers/Microsoft.Authorization/permissions", **{"api-version": PERMISSIONS})


def _limits(name: str, target: Target) -> Iterator[str]:
    cluster = bool(target.settings.get("compute"))
    if cluster and len(name) > LONGEST_THERE:
        yield f"On a cluster an endpoint's name has {LONGEST_THERE} characters at most, and {name} has {len(name)}."
    if cluster and str(target.settings.get("auth") or "").lower() == "aadtoken":
        yield "Endpoints on a cluster take no tokens of Microsoft Entra: write `auth: Key` or `auth: AMLToken`."
    seconds, most = float(target.settings.get("request_timeout") or 0), MOST_SECONDS_THERE if cluster else MOST_SECONDS
    if seconds > most:
        yield f"Azure gives a request up after {most} s at most: lower `request_timeout`, which is {seconds:g} s."
    if (count := int(target.settings.get("instance_count") or 1)) > MOST_INSTANCES:
        yield f"Azure allows {MOST_INSTANCES} instances of a deployment: lower `instance_count`, which is {count}."


def _figures(azure: Azure, name: str, there: Json | None) -> Iterator[str]:
    """Azure Monitor is asked about the endpoint; one that is not made yet gets its roles from the workspace."""
    scope = azure.where.arm_id if there is None else azure.where.online(name)
    if not_allowed(_permissions(azure, scope), [_METRICS]):
        where = f"the endpoint {name}" if there is not None else f"the workspace, or on {name} once it is made"
        yield f"The identity lacks {_METRICS}, by which a canary is judged: give it Monitoring Reader on {where}."


def full(name: str, many: int) -> str:
    """The sentence about an endpoint that takes no more deployments."""
    return f"{name} has {many} deployments, and Azure allows {MOST_DEPLOYMENTS}: delete some of them."


def _endpoint(azure: Azure, family: Family, name: str, there: Json, target: Target) -> Iterator[str]:
    deployments = azure.deployments(family, name)
    if len(deployments) >= MOST_DEPLOYMENTS:
        yield full(name, len(deployments))
    by_hand = [str(each["name"]) for each in deployments if not marks.is_ours(each.get("tags") or {}, target)]
    properties = there.get("properties") or {}
    default = (properties.get("defaults") or {}).get("deploymentName")
    traffic = {default: ALL} if default else properties.get("traffic") or {}
    live = [each for each in by_hand if traffic.get(each)]
    if live and marks.of_endpoint(there.get("tags") or {}).adopted is None:
        served = plain(", ".join(live))
        yield f"{name} serves {served}, made by hand: `watcher adopt {target.key} --version N` lends it."


def _environment(azure: Azure, target: Target) -> Iterator[str]:
    given = str(target.settings.get("environment") or "auto")
    if given in ("auto", "no-code") or given.startswith("/"):
        return
    name, _, version = given.removeprefix("azureml:").rpartition(":")
    if not name:
        yield f"`environment` must be auto, no-code or NAME:VERSION, not {plain(given)!r}."
    elif azure.asset("environments", name, version) is None:
        yield f"The workspace has no environment {plain(name)} with the version {plain(version)}."


def _compute(azure: Azure, given: str) -> Iterator[str]:
    try:
        azure.compute(given)
    except Absent:
        yield f"There is no compute {plain(given)}: `compute` must name one that is attached to the workspace."


def _size(azure: Azure, target: Target) -> Iterator[str]:
    wanted = str(target.settings.get("instance_type") or "Standard_DS3_v2")
    count = int(target.settings.get("instance_count") or 1)
    region = f"/subscriptions/{azure.where.subscription}/providers/{PROVIDER}/locations/{azure.location()}"
    sizes = azure.get(f"{region}/vmSizes", **{"api-version": VERSION}).get("value") or ()
    found = next((each for each in sizes if str(each.get("name", "")).lower() == wanted.lower()), None)
    if found is None:
        yield f"There is no instance type {plain(wanted)} in {azure.location()}: `instance_type` must name one that is."
        return
    usages = azure.get(f"{region}/usages", **{"api-version": VERSION}).get("value") or ()
    family, cores = str(found.get("family", "")), int(found.get("vCPUs") or 0)
    for usage in usages:
        if str((usage.get("name") or {}).get("value", "")).lower() != family.lower():
            continue
        left = int(usage.get("limit") or 0) - int(usage.get("currentValue") or 0)
        # The challenger runs beside the champion.
        needed = cores * count * RESERVED
        if needed > left:
            yield (
                f"A release takes {needed:g} cores of {plain(family)} (a fifth of it reserved by Azure), and {left} are"
                f" left in {azure.location()}: ask for more quota, or name another `instance_type`."
            )


def not_allowed(answer: Json, wanted: Sequence[str]) -> list[str]:
    """Which of the actions no role of the identity allows; patterns as Azure writes them, cases alike."""
    roles: Sequence[Mapping[str, Any]] = answer.get("value") or ()
    return [action for action in wanted if not any(_allows(role, action) for role in roles)]


def _allows(role: Mapping[str, Any], action: str) -> bool:
    return _matches(role.get("actions"), action) and not _matches(role.get("notActions"), action)


def _matches(patterns: Any, action: str) -> bool:
    return any(
        re.fullmatch(fnmatch.translate(str(pattern).lower()), action.lower()) is not None for pattern in patterns or ()
    )
