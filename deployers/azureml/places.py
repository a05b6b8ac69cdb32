"""Which workspace and which endpoint a target means. Nothing is asked of Azure here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watcher.errors import UserError
from watcher.text import plain

STORE = "workspaceblobstore"
"""The datastore that every workspace has."""
PROVIDER = "Microsoft.MachineLearningServices"
_ARM_ID = re.compile(
    rf"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/{re.escape(PROVIDER)}"
    r"/workspaces/(?P<name>[^/]+)/?",
    re.IGNORECASE,
)
_SHORT = re.compile(r"(?P<subscription>[^/]+)/(?P<group>[^/]+)/(?P<name>[^/]+)")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._()-]{0,89}")
_ENDPOINT = re.compile(r"[a-z](?:[a-z0-9-]{1,30})[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Workspace:
    """One Azure ML workspace."""

    subscription: str
    group: str
    name: str

    @property
    def arm_id(self) -> str:
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{group}/providers/{PROVIDER}/workspaces/{self.name}"

    def compute(self, given: str) -> str:
        """ARM id of a compute that settings name, or give the id of."""
        return given if given.startswith("/") else f"{self.arm_id}/computes/{given}"

    def stored(self, path: str) -> str:
        """Where a file of the workspace's own store lies, for assets and jobs."""
        where = f"subscriptions/{self.subscription}/resourceGroups/{self.group}/workspaces/{self.name}"
        return f"azureml://{where}/datastores/{STORE}/paths/{path}"

    def online(self, endpoint: str) -> str:
        """ARM id of an online endpoint."""
        return f"{self.arm_id}/onlineEndpoints/{endpoint}"


def workspace(settings: Mapping[str, Any]) -> Workspace:
    """The target's workspace. Raises UserError where the setting does not name one."""
    given = settings.get("workspace")
    text = given if isinstance(given, str) else ""
    found = _ARM_ID.fullmatch(text) or _SHORT.fullmatch(text)
    if found is None or not all(_PART.fullmatch(part) for part in found.groups()):
        raise UserError(
            "`workspace` must be SUBSCRIPTION/RESOURCE-GROUP/WORKSPACE or the workspace's resource id, not"
            f" {plain(given)!r}."
        )
    return Workspace(**found.groupdict())


def endpoint(settings: Mapping[str, Any]) -> str:
    """The endpoint's name. Raises UserError for one that Azure refuses."""
    given = settings.get("endpoint")
    if not isinstance(given, str) or not _ENDPOINT.fullmatch(given):
        raise UserError(
            "An Azure ML endpoint's name has 3 to 32 characters: lower case letters, digits and '-', a letter first and"
            f" no '-' at the end; {plain(given)!r} is none."
        )
    return given


def place(kind: str, settings: Mapping[str, Any]) -> str:
    """`azureml-online:SUBSCRIPTION/GROUP/WORKSPACE/ENDPOINT`: names of Azure resources differ in no letter's case."""
    where = workspace(settings)
    return f"{kind}:{where.subscription}/{where.group}/{where.name}/{endpoint(settings)}".lower()
