"""The registry of an Azure ML workspace through azureml-mlflow: which workspace, whose identity, where files lie.

By itself azureml-mlflow leaves managed identities and service principals out and opens a browser instead; it finds the
files of a version only where the process's own tracking URI is that workspace, and lists them from the run's root. So
it is handed a context with this host's identity, and its clients of the artifact service are asked directly.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from watcher.errors import Terminal, UserError
from watcher.text import plain

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

SCHEME = "azureml"
CONNECT, READ = 5.0, 20.0
"""Seconds."""
_SCOPE = (
    r"/subscriptions/(?P<subscription>[^/?#]+)/resourceGroups/(?P<group>[^/?#]+)"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/(?P<name>[^/?#]+)"
)
_URI = re.compile(rf"azureml://(?P<host>[^/?#@]+)/mlflow/v\d+\.\d+{_SCOPE}/?", re.IGNORECASE)
_ORGANISATION = re.compile(r"azureml://.*/registries/", re.IGNORECASE)
_WHOLE_RUN = re.compile(
    rf"azureml://(?P<host>[^/?#@]+)/[^?#]*?{_SCOPE}/experiments/(?P<experiment>[^/]+)/runs/(?P<run>[^/]+)"
    r"/artifacts(?:/(?P<path>[^?#]*))?",
    re.IGNORECASE,
)
_RUN = re.compile(
    r"azureml://experiments/(?P<experiment>[^/]+)/runs/(?P<run>[^/]+)/artifacts(?:/(?P<path>[^?#]*))?", re.IGNORECASE
)
_UPLOAD = re.compile(r"azureml://artifacts/(?P<origin>[^/]+)/(?P<container>[^/]+)(?:/(?P<path>[^?#]*))?", re.IGNORECASE)
_CLOUDS = {".azure.cn": "AzureChinaCloud", ".azure.us": "AzureUSGovernment"}


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace, and the server that answers for it."""

    host: str
    subscription: str
    group: str
    name: str


@dataclass(frozen=True, slots=True)
class Files:
    """Where a version's files lie in its workspace: among those of a run, or of an upload."""

    run: tuple[str, str] | None
    """Experiment and run."""
    upload: tuple[str, str] | None
    """Origin and container."""
    path: str


def workspace_of(uri: str) -> Workspace:
    """The workspace that a registry's or a tracking server's URI names. Raises UserError."""
    found = _URI.fullmatch(uri.partition("?")[0])
    if found is not None:
        return Workspace(found["host"], found["subscription"], found["group"], found["name"])
    if _ORGANISATION.match(uri):
        raise UserError(
            "an Azure ML registry that is shared by an organisation cannot be watched: MLflow's client is not served"
            " there. Name a workspace; its models can be promoted from there"
        )
    raise UserError(
        f"{plain(uri, 200)!r} names no Azure ML workspace: write azureml://REGION.api.azureml.ms/mlflow/v1.0"
        "/subscriptions/…/resourceGroups/…/providers/Microsoft.MachineLearningServices/workspaces/NAME, as `az ml"
        " workspace show --query mlflow_tracking_uri` prints it"
    )


def files_of(uri: str, known: Workspace) -> Files | None:
    """Where files lie in a workspace; None where that is elsewhere, or in a form that azureml-mlflow does not read."""
    if found := _WHOLE_RUN.fullmatch(uri):
        there = Workspace(found["host"], found["subscription"], found["group"], found["name"])
        if _lower(there) != _lower(known):
            return None
        return Files((found["experiment"], found["run"]), None, (found["path"] or "").strip("/"))
    if found := _RUN.fullmatch(uri):
        return Files((found["experiment"], found["run"]), None, (found["path"] or "").strip("/"))
    if found := _UPLOAD.fullmatch(uri):
        return Files(None, (found["origin"], found["container"]), (found["path"] or "").strip("/"))
    return None


def connect(uri: str) -> None:
    """Let azureml-mlflow reach the workspace as this host, and MLflow read files that lie in it.

    Raises UserError for a URI of no workspace, ImportError where azureml-mlflow is not installed.
    """
    where = workspace_of(uri)
    from azureml.mlflow._internal.service_context_loader import _AzureMLServiceContextLoader as Contexts
    from azureml.mlflow._internal.utils import ServiceContext

    if Contexts.has_service_context(uri):
        return
    for name in ("azureml", "azure"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from azure.identity import DefaultAzureCredential

    context = ServiceContext(
        host_url=f"https://{where.host}",
        subscription_id=where.subscription,
        resource_group_name=where.group,
        workspace_name=where.name,
        auth=DefaultAzureCredential(),
        cloud=_cloud(where.host),
    )
    Contexts.add_service_context(uri, context)
    _known.append((where, context))
    from mlflow.store.artifact import artifact_repository_registry as stores

    stores._artifact_repository_registry.register(SCHEME, repository)  # noqa: SLF001 - as entry points do


_known: list[tuple[Workspace, Any]] = []
"""Workspaces of this process's settings: tokens go to their servers and to no others."""


def repository(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    """MLflow's artifact store for `azureml:` locations. Raises Terminal for one in no workspace of the settings."""
    asked = [uri for uri in (registry_uri, tracking_uri) if uri and uri.startswith(f"{SCHEME}:")]
    wanted = [workspace_of(uri) for uri in asked]
    for where, context in sorted(_known, key=lambda each: each[0] not in wanted):
        files = files_of(artifact_uri, where)
        if files is not None:
            return _repository(artifact_uri, files, context)
    raise Terminal(f"{plain(artifact_uri.partition('?')[0], 200)} is in no workspace of the settings")


def _repository(uri: str, files: Files, context: Any) -> ArtifactRepository:
    from mlflow.entities import FileInfo
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

    listed, located = _calls(files, context)

    class WorkspaceFiles(ArtifactRepository):
        """Files of one version, which are only read."""

        def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
            own = path or ""
            found = below(listed(), _joined(files.path, own))
            return [FileInfo(_joined(own, name), is_dir, None) for name, is_dir in sorted(found.items())]

        def _download_file(self, remote_file_path: str, local_path: str) -> None:
            from azure.storage.blob import BlobClient

            address = located(_joined(files.path, remote_file_path))
            options: dict[str, Any] = {"retry_total": 0, "connection_timeout": CONNECT, "read_timeout": READ}
            with BlobClient.from_blob_url(address, **options) as blob, Path(local_path).open("wb") as file:
                blob.download_blob().readinto(file)

        def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
            raise NotImplementedError

        def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
            raise NotImplementedError

    return WorkspaceFiles(uri)


def below(paths: Iterable[str], folder: str) -> dict[str, bool]:
    """Names directly in a folder, and whether each is a folder itself."""
    start = f"{folder}/" if folder else ""
    names = (path.removeprefix(start).partition("/") for path in paths if path.startswith(start))
    return {name: bool(slash) for name, slash, _ in names if name}


def _calls(files: Files, context: Any) -> tuple[Callable[[], Iterator[str]], Callable[[str], str]]:
    """Every path beside the version's, and the address that lends one file."""
    scope = {
        "subscription_id": context.subscription_id,
        "resource_group_name": context.resource_group_name,
        "workspace_name": context.workspace_name,
    }
    options = {
        "credential": context.auth,
        "base_url": context.host_url,
        "credential_scopes": [context.cloud._get_default_scope()],  # noqa: SLF001 - as azureml-mlflow does
        "retry_total": 0,
        "connection_timeout": CONNECT,
        "read_timeout": READ,
    }
    service: Any
    if files.run is not None:
        from azureml.mlflow._restclient.run_artifact import AzureMachineLearningWorkspaces as RunFiles

        service = RunFiles(**options).run_artifacts
        scope |= {"experiment_name": files.run[0], "run_id": files.run[1]}
    else:
        from azureml.mlflow._restclient.artifact import AzureMachineLearningWorkspaces as UploadedFiles

        origin, container = files.upload or ("", "")
        service = UploadedFiles(**options).artifacts
        scope |= {"origin": origin, "container": container}
    return (
        lambda: (str(found.path) for found in service.list_in_container(**scope)),
        lambda path: str(service.get_content_information(path=path, **scope).content_uri),
    )


def _cloud(host: str) -> Any:
    """The cloud that a server belongs to. azureml-mlflow would ask the public one, whichever it is."""
    from azureml.mlflow._common._cloud.cloud import get_known_clouds

    clouds = get_known_clouds()
    told = os.environ.get("ARM_CLOUD_METADATA_URL", "")
    for cloud in clouds.values() if told else ():
        if told.startswith(str(cloud.endpoints.resource_manager)):
            return cloud
    name = next((name for end, name in _CLOUDS.items() if host.lower().endswith(end)), "AzureCloud")
    return clouds.get(name) or next(iter(clouds.values()))


def _joined(*parts: str) -> str:
    return "/".join(part.strip("/") for part in parts if part.strip("/"))


def _lower(where: Workspace) -> tuple[str, ...]:
    return tuple(part.lower() for part in (where.host, where.subscription, where.group, where.name))


def is_ours(uri: str, *settings: str) -> bool:
    """Whether a location lies in a workspace that one of the settings' URIs names."""
    named = [each for each in settings if urlsplit(each).scheme == SCHEME]
    return any(files_of(uri, workspace_of(each)) is not None for each in named)
