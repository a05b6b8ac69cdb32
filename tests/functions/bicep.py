"""Bicep files held against what the app needs and what Azure takes, as far as that can be read off their text.

No compiler is to be had where these tests run. What is known of Azure here is from its public reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

VERSIONS: Mapping[str, str] = {
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.KeyVault/vaults": "2023-07-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2023-01-31",
    "Microsoft.OperationalInsights/workspaces": "2023-09-01",
    "Microsoft.Resources/resourceGroups": "2024-03-01",
    "Microsoft.Storage/storageAccounts": "2023-05-01",
    "Microsoft.Storage/storageAccounts/blobServices": "2023-05-01",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "2023-05-01",
    "Microsoft.Storage/storageAccounts/queueServices": "2023-05-01",
    "Microsoft.Storage/storageAccounts/queueServices/queues": "2023-05-01",
    "Microsoft.Storage/storageAccounts/tableServices": "2023-05-01",
    "Microsoft.Storage/storageAccounts/tableServices/tables": "2023-05-01",
    "Microsoft.Web/serverfarms": "2024-04-01",
    "Microsoft.Web/sites": "2024-04-01",
    "Microsoft.Web/sites/config": "2024-04-01",
}
"""Stable API versions."""
ROLES: Mapping[str, str] = {
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
}
"""Azure's built-in roles, those that may be granted here."""
NAMES: Mapping[str, str] = {
    "Microsoft.Insights/components": r"[\w.()-]{1,259}[\w()-]",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[A-Za-z0-9][\w-]{2,127}",
    "Microsoft.OperationalInsights/workspaces": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "Microsoft.Resources/resourceGroups": r"[\w.()-]{1,89}[\w()-]",
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.Storage/storageAccounts/blobServices/containers": r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    "Microsoft.Storage/storageAccounts/queueServices/queues": r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    "Microsoft.Storage/storageAccounts/tableServices/tables": r"[A-Za-z][A-Za-z0-9]{2,62}",
    "Microsoft.Web/serverfarms": r"[\w-]{1,60}",
    # Beyond 32 characters hosts may be taken for one another: the host id is cut there.
    "Microsoft.Web/sites": r"[A-Za-z0-9][A-Za-z0-9-]{0,30}[A-Za-z0-9]",
}
"""What a name of each type must fit."""
NOT_ON_FLEX = frozenset(
    {"FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_RUN_FROM_PACKAGE", "ENABLE_ORYX_BUILD",
     "SCM_DO_BUILD_DURING_DEPLOYMENT", "WEBSITE_TIME_ZONE", "WEBSITE_CONTENTSHARE", "AzureWebJobsStorage"}
)  # fmt: skip
"""Settings that Flex Consumption refuses, or that would bring a key along."""
SECRET = re.compile(r"(?i)listKeys|AccountKey=|SharedAccess|\bsig=|listAccountSas|@secure|password\s*[:=]")
_RESOURCE = re.compile(r"^resource (\w+) '([^'@]+)@([^']+)' (existing )?= (.*)$", re.MULTILINE)
_DECLARED = re.compile(r"^(?:param|var|resource|module|output) (\w+)", re.MULTILINE)
_PARAM = re.compile(r"^param (\w+) \w+( =)?", re.MULTILINE)
_USED = re.compile(r"\b([a-z]\w*)\.(?:id|name|properties|outputs)\b")


@dataclass(frozen=True)
class Resource:
    """One declared resource."""

    symbol: str
    type: str
    version: str
    existing: bool
    body: str

    @property
    def name(self) -> str:
        """As it is written."""
        found = re.search(r"^ +name: (.+)$", self.body, re.MULTILINE)
        return found[1] if found else ""


def resources(text: str) -> list[Resource]:
    """What a file declares."""
    found = []
    for match in _RESOURCE.finditer(text):
        body = text[match.start() : _end(text, match.end() - 1)]
        found.append(Resource(match[1], match[2], match[3], bool(match[4]), body))
    return found


def settings(text: str) -> dict[str, str]:
    """App settings by name, with the expression of each."""
    bodies = [r.body for r in resources(text) if r.type == "Microsoft.Web/sites/config"]
    return dict(re.findall(r"^ {6}(\w+): (.+)$", "".join(bodies), re.MULTILINE))


def roles(text: str) -> list[tuple[str, str, str]]:
    """(reason, name, id) of each role that is granted; the reason is the comment above it."""
    return re.findall(r"// (.+)\n\s+name: '([^']+)'\n\s+id: '([^']+)'", text)


def texts(text: str) -> dict[str, str]:
    """Variables that are plain texts."""
    return dict(re.findall(r"^var (\w+) = '([^'$]*)'$", text, re.MULTILINE))


def parameters(text: str) -> dict[str, bool]:
    """Parameters, and whether each has a default."""
    return {name: bool(default) for name, default in _PARAM.findall(text)}


def broken(files: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each rule that the files break, by name of the file."""
    for name, text in files.items():
        yield from (f"{name}: {problem}" for problem in _broken(text, files))


def _broken(text: str, files: Mapping[str, str]) -> Iterator[str]:
    yield from _of_text(re.sub(r"//.*", "", text))
    yield from (problem for resource in resources(text) for problem in _of_resource(resource, text))
    yield from _of_roles(text)
    if any(r.type == "Microsoft.Web/sites/config" for r in resources(text)):
        yield from (f"{key} is no setting of Flex Consumption" for key in settings(text).keys() & NOT_ON_FLEX)
        if "allowSharedKeyAccess: false" not in text:
            yield "the storage account takes keys"
    yield from _of_modules(text, files)


def _of_text(bare: str) -> Iterator[str]:
    for opening, closing in ("{}", "[]", "()"):
        if bare.count(opening) != bare.count(closing):
            yield f"{opening} and {closing} do not match"
    if found := SECRET.search(bare):
        yield f"{found[0]} brings a secret"
    declared = {*_DECLARED.findall(bare), "entry", "role"}
    yield from (f"{symbol} is not declared" for symbol in set(_USED.findall(bare)) - declared)


def _of_resource(resource: Resource, text: str) -> Iterator[str]:
    if VERSIONS.get(resource.type) != resource.version:
        yield f"{resource.type}@{resource.version} is not known"
    pattern, written = NAMES.get(resource.type), resource.name
    if pattern and not resource.existing and not re.fullmatch(pattern, _filled(written, text)):
        yield f"{written} is no name of a {resource.type}"


def _of_roles(text: str) -> Iterator[str]:
    for name, guid in re.findall(r"name: '([^']+)'\n\s+id: '([^']+)'", text):
        if ROLES.get(name) != guid:
            yield f"{guid} is not {name}"
    if unreasoned := len(re.findall(r"\n\s+id: '[0-9a-f-]{36}'", text)) - len(roles(text)):
        yield f"{unreasoned} roles are granted without a reason"


def _of_modules(text: str, files: Mapping[str, str]) -> Iterator[str]:
    for file, body in re.findall(r"^module \w+ '([^']+)' = (?:if [^{]+)?(\{.*?^\})", text, re.MULTILINE | re.DOTALL):
        given = set(re.findall(r"^ {4}(\w+):", body, re.MULTILINE))
        wanted = parameters(files.get(file, ""))
        yield from (f"{file} has no parameter {name}" for name in given - wanted.keys())
        yield from (f"{file} is not given {name}" for name, default in wanted.items() if not default | (name in given))
    for symbol, output in re.findall(r"\b(\w+)\.outputs\.(\w+)", text):
        module = re.search(rf"^module {symbol} '([^']+)'", text, re.MULTILINE)
        if not module or not re.search(rf"^output {output} ", files.get(module[1], ""), re.MULTILINE):
            yield f"{symbol} has no output {output}"


def _filled(written: str, text: str) -> str:
    """A name as Azure would see it, with the longest values that there may be."""
    known = {"token": "a" * 13, "environmentName": "e" * 40, **texts(text)}
    if re.fullmatch(r"\w+", written):
        return known.get(written, "")
    return re.sub(r"\$\{(\w+)\}", lambda found: known.get(found[1], " "), written.strip("'"))


def _end(text: str, start: int) -> int:
    """Behind the brace or bracket that closes the one at `start`."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(text[at], 0)
        if depth == 0:
            return at + 1
    return len(text)
