"""The control plane of one workspace. The one module that calls azure-ai-ml."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from deployers.azureml.places import STORE, Workspace
from deployers.azureml.store import Store
from deployers.azureml.trouble import Absent, translated
from watcher.errors import Conflict, Terminal
from watcher.retry import Retry

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.storage.blob import ContainerClient

T = TypeVar("T")
Json = dict[str, Any]

CONNECT = 5.0
"""Seconds."""
READ = 20.0
"""Seconds without a byte."""
METRICS = "2023-10-01"
"""API version of Azure Monitor's metrics."""
PERMISSIONS = "2022-04-01"
COMPUTES = "2023-10-01"
_CLIENT: Mapping[str, Any] = {"retry_total": 0, "connection_timeout": CONNECT, "read_timeout": READ}
_LOGGERS = ("azure.ai.ml", "azure.identity", "msrest")


@dataclass(frozen=True, slots=True)
class Family:
    """Endpoints of one kind: which of the SDK's generated clients speaks of them, by their API versions."""

    word: str
    endpoints_of: str
    deployments_of: str

    def endpoints(self, client: MLClient) -> Any:
        return getattr(getattr(client, self.endpoints_of), f"{self.word}_endpoints")

    def deployments(self, client: MLClient) -> Any:
        return getattr(getattr(client, self.deployments_of), f"{self.word}_deployments")


ONLINE = Family("online", "_service_client_04_2023_preview", "_service_client_04_2023_preview")
BATCH = Family("batch", "_service_client_10_2023", "_service_client_01_2024_preview_arm")


def code_files(folder: Path) -> list[Path]:
    """What of a folder is uploaded as code, in order: nothing hidden, which is where keys and histories are."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    parts = {path: path.relative_to(folder).parts for path in found}
    return sorted(p for p in found if "__pycache__" not in parts[p] and not any(n.startswith(".") for n in parts[p]))


class Azure:
    """One workspace, reached with the identity of this host. Every answer is plain JSON.

    Beneath the SDK's public `begin_*` a thread polls until the operation ends and prints a dot each time. The generated
    client of the same SDK starts the operation and leaves it, so that one is called for what takes long; see
    docs/adr/0014.
    """

    def __init__(self, where: Workspace, retry: Retry, credential: Callable[[], Any]) -> None:
        self.where = where
        self._retry = retry
        self._credential = credential
        self._lock = threading.Lock()
        self._made: MLClient | None = None
        self._location: str | None = None
        self.store = Store(self._container, retry)
        self._scope = {"resource_group_name": where.group, "workspace_name": where.name}

    # Endpoints

    def endpoint(self, family: Family, name: str) -> Json | None:
        """The endpoint, None where there is none."""
        doing = f"read the {family.word} endpoint {name}"
        return self._found(doing, lambda c: family.endpoints(c).get(endpoint_name=name, **self._scope))

    def deployments(self, family: Family, name: str) -> list[Json]:
        """All deployments of an endpoint; an empty list where there is no endpoint."""
        doing = f"list the deployments of {name}"
        return self._listed(doing, lambda c: family.deployments(c).list(endpoint_name=name, **self._scope))

    def deployment(self, family: Family, endpoint: str, name: str) -> Json | None:
        key = {"endpoint_name": endpoint, "deployment_name": name, **self._scope}
        return self._found(f"read the deployment {name} of {endpoint}", lambda c: family.deployments(c).get(**key))

    def put_endpoint(self, family: Family, name: str, body: Json) -> None:
        """Start to create or to change an endpoint."""
        self._written(
            f"write the {family.word} endpoint {name}",
            lambda c: family.endpoints(c).begin_create_or_update(
                endpoint_name=name, body=body, polling=False, **self._scope
            ),
        )

    def put_deployment(self, family: Family, endpoint: str, name: str, body: Json) -> None:
        """Start to create a deployment, or to try it again."""
        key = {"endpoint_name": endpoint, "deployment_name": name, **self._scope}
        self._written(
            f"create the deployment {name} of {endpoint}",
            lambda c: family.deployments(c).begin_create_or_update(body=body, polling=False, **key),
        )

    def tag_deployment(self, family: Family, endpoint: str, name: str, tags: Mapping[str, str]) -> None:
        """Change the tags of a deployment and nothing else."""
        key = {"endpoint_name": endpoint, "deployment_name": name, **self._scope}
        self._written(
            f"tag the deployment {name} of {endpoint}",
            lambda c: family.deployments(c).begin_update(body={"tags": dict(tags)}, polling=False, **key),
        )

    def delete_deployment(self, family: Family, endpoint: str, name: str) -> None:
        """Start to delete a deployment; absent is done."""
        key = {"endpoint_name": endpoint, "deployment_name": name, **self._scope}
        self._written(
            f"delete the deployment {name} of {endpoint}",
            lambda c: family.deployments(c).begin_delete(polling=False, **key),
        )

    def job(self, name: str) -> Json | None:
        """A job of the workspace, None where there is none."""
        doing = f"read the job {name}"
        return self._found(doing, lambda c: c._service_client_01_2024_preview_arm.jobs.get(id=name, **self._scope))  # noqa: SLF001 - see the class

    def job_error(self, name: str) -> Json:
        """Why a job failed, with `code` and `message`: the run history says it, if anything does. Empty without."""
        doing = f"read why the job {name} failed"
        try:
            found = self._ask(doing, lambda c: c.jobs._runs_operations.get_run(name))  # noqa: SLF001 - as its `stream` does
        except (Terminal, Conflict):
            return {}
        return (found.get("error") or {}).get("error") or {}

    def put_job(self, name: str, body: Json) -> None:
        """Start a job. Raises Conflict where there is one of that name."""
        self._written(
            f"start the job {name}",
            lambda c: c._service_client_01_2024_preview_arm.jobs.create_or_update(id=name, body=body, **self._scope),  # noqa: SLF001 - see the class
        )

    def online_key(self, name: str, mode: str) -> str:
        """What authorises a call of the endpoint's scoring URI. Never shown, never kept."""
        if mode.lower() == "aadtoken":
            return self.ml_token()
        doing = f"read the keys of {name}"
        if mode.lower() == "amltoken":
            found = self._ask(doing, lambda c: ONLINE.endpoints(c).get_token(endpoint_name=name, **self._scope))
            return str(found.get("accessToken") or "")
        found = self._ask(doing, lambda c: ONLINE.endpoints(c).list_keys(endpoint_name=name, **self._scope))
        return str(found.get("primaryKey") or "")

    # Assets

    def asset(self, kind: str, name: str, version: str) -> Json | None:
        """A version of a model (`models`) or an environment (`environments`), None where there is none."""
        operations = {"models": "model_versions", "environments": "environment_versions"}[kind]
        return self._found(
            f"read {kind}/{name}/versions/{version}",
            lambda c: getattr(self._assets(c), operations).get(name=name, version=version, **self._scope),
        )

    def model_versions(self, name: str) -> list[Json]:
        """All versions of a registered model, newest first; empty where there is no model."""
        return self._listed(
            f"list the versions of the model {name}",
            lambda c: self._assets(c).model_versions.list(name=name, **self._scope),
        )

    def data_version(self, name: str, version: str) -> Json | None:
        """A version of a data asset, None where there is none."""
        key = {"name": name, "version": version, **self._scope}
        return self._found(f"read the data {name}:{version}", lambda c: self._data(c).data_versions.get(**key))

    def data_asset(self, name: str) -> Json | None:
        """A data asset with its `latestVersion`, None where there is none."""
        key = {"name": name, **self._scope}
        return self._found(f"read the data {name}", lambda c: self._data(c).data_containers.get(**key))

    def put_environment(self, name: str, version: str, body: Json) -> None:
        self._ask(
            f"create the environment {name}:{version}",
            lambda c: self._assets(c).environment_versions.create_or_update(
                name=name, version=version, body=body, **self._scope
            ),
        )

    def register_model(self, name: str, version: str, folder: str, body: Json) -> None:
        """Register an MLflow model whose files lie in a folder of the workspace's own store."""
        properties = {**body, "modelUri": self.where.stored(folder), "modelType": "mlflow_model"}
        self._ask(
            f"register {name}:{version} in the workspace {self.where.name}",
            lambda c: self._assets(c).model_versions.create_or_update(
                name=name, version=version, body={"properties": properties}, **self._scope
            ),
        )

    def _container(self) -> ContainerClient:
        """The container behind the workspace's own datastore, by its signature or else by our identity."""
        key = {"name": STORE, **self._scope}
        found = self._ask("read the workspace's datastore", lambda c: self._assets(c).datastores.get(**key))
        secrets = self._ask("read the datastore's signature", lambda c: self._assets(c).datastores.list_secrets(**key))
        told = found["properties"]
        account = f"{told.get('protocol') or 'https'}://{told['accountName']}.blob.{told.get('endpoint')}"
        from azure.storage.blob import ContainerClient

        credential = secrets.get("sasToken") or secrets.get("key") or self._credential()
        with translated("reach the workspace's store"):
            return ContainerClient(account, str(told["containerName"]), credential=credential, **_CLIENT)

    def upload_code(self, name: str, version: str, folder: Path) -> str:
        """ARM id of a code asset with the folder's files, uploaded unless a version of that name is there."""
        arm_id = f"{self.where.arm_id}/codes/{name}/versions/{version}"
        doing = f"upload the scoring script {name}"
        key = {"name": name, "version": version, **self._scope}
        if self._found(doing, lambda c: self._codes(c).get(**key)) is not None:
            return arm_id

        def put(client: MLClient) -> Json:
            from azure.storage.blob import ContainerClient

            codes = self._codes(client)
            asked = codes.create_or_get_start_pending_upload(
                body={"pendingUploadType": "TemporaryBlobReference"}, **key
            )
            reference = _json(asked)["blobReferenceForConsumption"]
            with ContainerClient.from_container_url(reference["credential"]["sasUri"], **_CLIENT) as container:
                for path in code_files(folder):
                    container.upload_blob(path.relative_to(folder).as_posix(), path.read_bytes(), overwrite=True)
            return _json(codes.create_or_update(body={"properties": {"codeUri": reference["blobUri"]}}, **key))

        self._ask(doing, put)
        return arm_id

    # The workspace

    def workspace(self) -> Json | None:
        """The workspace itself, None where there is none."""
        return self._found(
            f"read the workspace {self.where.name}",
            lambda c: c._service_client_10_2024_preview_tsp.workspaces.get(**self._scope),  # noqa: SLF001 - as JSON
        )

    def location(self) -> str:
        """The workspace's region; asked once."""
        if self._location is None:
            found = self.workspace()
            if found is None:
                raise Terminal(f"there is no workspace {self.where.name} in {self.where.group}")
            self._location = str(found.get("location") or "")
        return self._location

    def compute(self, given: str) -> Json:
        """A compute that settings name. Raises Absent."""
        return self.get(self.where.compute(given), **{"api-version": COMPUTES})

    def get(self, path: str, **query: str) -> Json:
        """One GET of Azure Resource Manager, of what the SDK has no call for."""

        def send(client: MLClient) -> Json:
            from azure.core.rest import HttpRequest

            inner = client._service_client_04_2023_preview  # noqa: SLF001 - any of its clients sends
            request = HttpRequest("GET", f"{client._base_url}{path}", params=query)  # noqa: SLF001 - where this cloud is
            answer = inner.send_request(request)
            if answer.status_code >= HTTPStatus.BAD_REQUEST:
                from azure.core.exceptions import HttpResponseError
                from azure.mgmt.core.exceptions import ARMErrorFormat

                raise HttpResponseError(response=answer, error_format=ARMErrorFormat)
            found = answer.json()
            return found if isinstance(found, dict) else {"value": found}

        return self._ask(f"read {path.rpartition('/providers/')[2]}", send)

    def operation(self, url: str) -> Json:
        """The state of an operation that was started: `status`, and `error` where it failed.

        Raises Terminal for a URL that is not of this cloud's resource manager: a token goes nowhere else.
        """
        base = f"{self.base_url()}/"
        if not url.startswith(base):
            raise Terminal(f"the operation's address is not one of {base}")
        path, _, query = url.removeprefix(base.rstrip("/")).partition("?")
        from urllib.parse import parse_qsl

        return self.get(path, **dict(parse_qsl(query)))

    def base_url(self) -> str:
        with translated("connect to Azure"):
            return str(self._client()._base_url)  # noqa: SLF001 - where this cloud is

    def token(self, audience: str) -> str:
        with translated("get a token for Azure"):
            return str(self._client()._credential.get_token(f"{audience}/.default").token)  # noqa: SLF001 - ours

    def ml_token(self) -> str:
        """A token for scoring: of the machine learning service, not of the resource manager."""
        from azure.ai.ml._azure_environments import _get_aml_resource_id_from_metadata

        self.base_url()
        return self.token(str(_get_aml_resource_id_from_metadata()))

    # Beneath

    def _found(self, doing: str, call: Callable[[MLClient], Any]) -> Json | None:
        try:
            return self._ask(doing, call)
        except Absent:
            return None

    def _listed(self, doing: str, call: Callable[[MLClient], Any]) -> list[Json]:
        try:
            return list(self._ask(doing, lambda client: {"value": [_json(each) for each in call(client)]})["value"])
        except Absent:
            return []

    def _written(self, doing: str, call: Callable[[MLClient], Any]) -> None:
        def start(client: MLClient) -> Json:
            call(client)
            return {}

        self._ask(doing, start)

    def _ask(self, doing: str, call: Callable[[MLClient], Any]) -> Json:
        def once() -> Json:
            with translated(doing):
                return _json(call(self._client()))

        return self._retry(once)

    @staticmethod
    def _codes(client: MLClient) -> Any:
        return client._service_client_04_2023.code_versions  # noqa: SLF001 - see the class

    @staticmethod
    def _data(client: MLClient) -> Any:
        return client._service_client_04_2023_preview  # noqa: SLF001 - see the class

    @staticmethod
    def _assets(client: MLClient) -> Any:
        return client._service_client_08_2023_preview  # noqa: SLF001 - see the class

    def _client(self) -> MLClient:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> MLClient:
        from azure.ai.ml import MLClient

        quiet()
        return MLClient(
            self._credential(),
            self.where.subscription,
            self.where.group,
            self.where.name,
            show_progress=False,
            enable_telemetry=False,
            **_CLIENT,
        )


def quiet() -> None:
    """Let nothing of what the SDKs log reach a person: whatever they raise, the loop tells once and better.

    To be called once they are imported: azure-ai-ml gives itself a handler that writes to stderr.
    """
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate, logger.handlers = False, [logging.NullHandler()]


def _json(found: Any) -> Json:
    as_dict = getattr(found, "as_dict", None)
    return dict(as_dict() if as_dict is not None else found)
