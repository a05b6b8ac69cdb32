"""The model registry of the tests' Azure ML workspace, with its runs and files, as azureml-mlflow asks for them.

State is MLflow's SQL store. What Microsoft's pages say is not served is refused before it is asked: aliases and logged
models (404 with an empty body), renaming, deleting a whole model, any condition but one name. What they do not say is
answered with the least: hits without tags, models without their newest versions.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.azureml.cloud import WORKSPACE_ID, Answer, Asked, Cloud
from tests.databricks.refused import Refused
from tests.databricks.registry_plane import RUNS, Registries, Service

NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_API = re.compile(rf"/mlflow/v2\.0{re.escape(WORKSPACE_ID)}(?P<rest>/api/.+)", re.IGNORECASE)
_FILES = re.compile(
    rf"/(?:history/v1\.0|artifact/v2\.0){re.escape(WORKSPACE_ID)}/(?:experiments/(?P<experiment>[^/]+)/runs/(?P<run>[^/]+)"
    r"/artifacts|artifacts/LocalUpload/(?P<container>[^/]+))(?P<verb>/contentinfo)?",
    re.IGNORECASE,
)


@dataclass
class AzurePlane(Registries):
    """The registry beneath one cloud."""

    cloud: Cloud = field(default_factory=Cloud)
    aliases: bool = False
    """Whether this workspace has learned aliases."""
    stored: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Run or upload -> path -> content."""
    located: dict[tuple[str, int], str] = field(default_factory=dict)
    """Version -> where the registry says that its files are."""
    down: bool = False
    """Whether files cannot be had."""

    def reply(self, asked: Asked) -> Answer | None:
        """The answer, None where the path is none of the registry's."""
        if (found := _API.fullmatch(asked.path)) is not None:
            if asked.headers.get("authorization") != f"Bearer token-for-{self.cloud.base}":
                return Answer.of({"error_code": "PERMISSION_DENIED", "message": "no token of this cloud"}, 403)
            return self._served(asked, found["rest"])
        files = _FILES.fullmatch(asked.path)
        return self._kept(asked, files) if files is not None else None

    def _served(self, asked: Asked, rest: str) -> Answer:
        body = asked.json or dict(asked.query)
        try:
            said = self.answer(asked.method, rest, body)
        except Refused as error:
            if error.code == "ENDPOINT_NOT_FOUND":
                return Answer(404)
            return Answer.of({"error_code": error.code, "message": f"Response: {error}"}, error.status)
        return Answer.of(said[1] if said else {}, said[0] if said else 404)

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        part = path.removeprefix(RUNS)
        if part.startswith(("runs/", "metrics/")):
            return self._tracked(part, body)
        return Registry(self, self).answer(method, part, body)

    def _kept(self, asked: Asked, files: re.Match[str]) -> Answer:
        if self.down:
            return Answer.of({"error": {"code": "ServiceError"}}, 503, {"Retry-After": "1"})
        container = files["run"] or files["container"]
        there = self.stored.get(container, {})
        if not files["verb"]:
            value = [{"path": path, "container": container} for path in sorted(there)]
            return Answer.of({"value": value})
        path = asked.query["path"]
        if path not in there:
            return Answer.of({"error": {"code": "UserError", "message": "not found"}}, 404)
        account = f"https://mlstorage.blob.localhost:{self.cloud.base.rpartition(':')[2]}"
        uri = f"{account}/azureml-blobstore/{container}/{quote(path)}?sv=2023&sig=s3cr3t"
        self.cloud.blobs[f"azureml-blobstore/{container}/{path}"] = (there[path], {})
        return Answer.of({"contentUri": uri, "container": container, "path": path})


class Registry(Service):
    """The registry's own answers."""

    def __init__(self, plane: Registries, azure: AzurePlane) -> None:
        super().__init__(plane)
        self.azure = azure

    def check(self, name: str) -> str:
        if NAMES.fullmatch(name) is None:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"{{'Error': {{'Message': 'Invalid model name {name}'}}}}")
        return name

    def mine(self, name: str) -> bool:
        return True

    def order(self, body: dict[str, Any], most: int) -> list[str] | None:
        return [body["order_by"]] if body.get("order_by") else None

    def model(self, found: Any, *, whole: bool) -> Any:
        from mlflow.utils.proto_json_utils import message_to_json

        shown = dict(json.loads(message_to_json(found.to_proto())))
        shown.pop("latest_versions", None)
        if not self.azure.aliases or not whole:
            shown.pop("aliases", None)
        if not whole:
            shown.pop("tags", None)
        return shown

    def version(self, found: Any, *, whole: bool) -> Any:
        from mlflow.utils.proto_json_utils import message_to_json

        shown = dict(json.loads(message_to_json(found.to_proto()))) | {"status": self.status(found)}
        shown.pop("aliases", None)
        if not whole:
            shown.pop("tags", None)
        return shown

    def answer(self, method: str, part: str, body: dict[str, Any]) -> Any:
        if part in ("registered-models/rename", "registered-models/update", "registered-models/delete"):
            raise Refused(400, "INVALID_PARAMETER_VALUE", "this operation is not supported")
        return super().answer(method, part, body)

    def _on_version(self, method: str, verb: str, name: str, body: dict[str, Any]) -> Any:
        if verb == "get-download-uri":
            found = self.store.get_model_version(name, body["version"])
            return {"artifact_uri": self.azure.located.get((name, int(found.version)), found.source)}
        return super()._on_version(method, verb, name, body)

    def other(self, method: str, part: str, name: str, body: dict[str, Any]) -> Any:
        if self.azure.aliases and part == "registered-models/alias":
            match method:
                case "GET":
                    return {
                        "model_version": self.version(
                            self.store.get_model_version_by_alias(name, body["alias"]), whole=True
                        )
                    }
                case "POST":
                    self.store.set_registered_model_alias(name, body["alias"], int(body["version"]))
                case "DELETE":
                    self.store.delete_registered_model_alias(name, body["alias"])
            return {}
        return super().other(method, part, name, body)
