"""The two model registries of a Databricks workspace, and its runs, behind the HTTP API that MLflow's own stores speak.

State is MLflow's SQL store. What the real registries refuse is refused here before it is asked: an order or a filter in
Unity Catalog, more than one condition, a period in the key of a tag, a name of other than three levels, aliases in the
workspace's own registry. Requests and replies are MLflow's own messages, so that a field of another name shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tests.databricks.refused import Refused

SINGLE = re.compile(r"\s*name\s*=\s*'([^']+)'\s*")
RESERVED = frozenset(".,-=/:")
RUNS = "/api/2.0/mlflow/"
CATALOG = "/api/2.0/mlflow/unity-catalog/"


@dataclass
class Registries:
    """Both registries over one database; a name with three levels is Unity Catalog's."""

    database: str
    files: Path
    url: Callable[[], str] = str
    touches: bool = True
    """Whether a new version of Unity Catalog touches its model; nothing says that it does."""
    page: int = 10_000
    """The most that one page holds, whatever is asked for."""
    hollow: bool = False
    """Whether an empty page comes before the first, as it may."""
    statuses: dict[tuple[str, int], str] = field(default_factory=dict)
    inline: dict[tuple[str, int], str] = field(default_factory=dict)
    """Version -> its logged model, which Unity Catalog shows with its metrics."""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

        self.store = SqlAlchemyStore(self.database)
        self.tracking = Tracking(self.database, (self.files / "runs").as_uri())

    def folder(self, name: str, version: int) -> Path:
        """Where the registry keeps the files of a version."""
        return self.files / quote(name, safe="") / str(version)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any] | None:
        """The answer, None where the path is none of a registry."""
        if path.startswith("/api/2.0/fs/"):
            return self._file(method, unquote(path.removeprefix("/api/2.0/fs/")), body)
        if path.startswith("/signed/"):
            return 200, self._signed(path)
        if not path.startswith(RUNS):
            return None
        self.asked.append((path.removeprefix("/api/2.0/mlflow/"), body))
        from mlflow.exceptions import MlflowException

        try:
            return 200, self._answer(method, path, body)
        except MlflowException as error:
            raise Refused(error.get_http_status_code(), error.error_code, error.message) from None

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        if path.startswith(CATALOG):
            return Catalog(self).answer(method, path.removeprefix(CATALOG), body)
        part = path.removeprefix(RUNS)
        if part.startswith(("runs/", "metrics/", "logged-models/")):
            return self._tracked(part, body)
        return Workspace(self).answer(method, part, body)

    def _tracked(self, part: str, body: dict[str, Any]) -> Any:
        from mlflow.protos import service_pb2 as messages

        if part == "runs/get":
            run = self.tracking.get_run(body["run_id"]).to_proto()
            return _json(messages.GetRun.Response(run=run))
        if part == "metrics/get-history":
            rows = self.tracking.get_metric_history(body["run_id"], body["metric_key"])
            return _json(messages.GetMetricHistory.Response(metrics=[m.to_proto() for m in rows]))
        model = self.tracking.get_logged_model(part.removeprefix("logged-models/"))
        return _json(messages.GetLoggedModel.Response(model=model.to_proto()))

    def _file(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        kind, _, rest = (path + str(body.get("path", ""))).partition("/Models/")
        *levels, number = rest.split("/", 4)[:4]
        name = ".".join(levels)
        folder = self.folder(name, int(number))
        below = rest.split("/", 4)[4:]
        if kind == "create-download-url" and below and (folder / below[0]).is_file():
            return 200, {"url": self.signed(name, number, below[0]), "headers": []}
        if kind != "directories" or not folder.is_dir():
            raise Refused(404, "NOT_FOUND", f"no such path: {path}")
        contents = [
            {"path": f"/Models/{rest.rstrip('/')}/{f.name}", "is_directory": f.is_dir(), "file_size": f.stat().st_size}
            for f in sorted(folder.iterdir())
        ]
        return 200, {} if method == "HEAD" else {"contents": contents}

    def signed(self, name: str, number: str, file: str) -> str:
        """An address that lends one file to whoever holds it."""
        return f"{self.url()}/signed/" + "/".join(quote(part, safe="") for part in (name, number, file))

    def _signed(self, path: str) -> bytes:
        name, number, file = (unquote(part) for part in path.removeprefix("/signed/").split("/"))
        return (self.folder(name, int(number)) / file).read_bytes()


class Service:
    """What both registries do alike. `spelled` and `shown` say what they do not."""

    def __init__(self, plane: Registries) -> None:
        self.plane = plane
        self.store = plane.store

    def check(self, name: str) -> str:
        raise NotImplementedError

    def tag(self, key: str) -> str:
        return key

    def answer(self, method: str, part: str, body: dict[str, Any]) -> Any:
        name = self.check(str(body["name"])) if "name" in body else ""
        about, _, verb = part.partition("/")
        if about == "registered-models":
            return self._on_model(method, verb, name, body)
        if about == "model-versions":
            return self._on_version(method, verb, name, body)
        return self.other(method, part, name, body)

    def _on_model(self, method: str, verb: str, name: str, body: dict[str, Any]) -> Any:
        from mlflow.entities.model_registry import RegisteredModelTag

        key = self.tag(str(body.get("key", "")))
        match verb, method:
            case "get", "GET":
                return {"registered_model": self.model(self.store.get_registered_model(name), whole=True)}
            case "search", "GET":
                return self._models(body)
            case "create", "POST":
                return {"registered_model": self.model(self.store.create_registered_model(name), whole=True)}
            case ("rename", "POST") | ("update", "PATCH"):
                new = self.check(str(body["new_name"]))
                return {"registered_model": self.model(self.store.rename_registered_model(name, new), whole=True)}
            case "delete", "DELETE":
                self.store.delete_registered_model(name)
            case "set-tag", "POST":
                self.store.set_registered_model_tag(name, RegisteredModelTag(key, body["value"]))
            case "delete-tag", "DELETE":
                self._has(self.store.get_registered_model(name).tags, key)
                self.store.delete_registered_model_tag(name, key)
            case _:
                return self.other(method, f"registered-models/{verb}", name, body)
        return {}

    def _on_version(self, method: str, verb: str, name: str, body: dict[str, Any]) -> Any:
        from mlflow.entities.model_registry import ModelVersionTag

        version, key = body.get("version"), self.tag(str(body.get("key", "")))
        match verb, method:
            case "get", "GET":
                return {"model_version": self.version(self.store.get_model_version(name, version), whole=True)}
            case "search", "GET":
                return self._versions(body)
            case "delete", "DELETE":
                self.store.delete_model_version(name, version)
            case "set-tag", "POST":
                self.store.set_model_version_tag(name, version, ModelVersionTag(key, body["value"]))
            case "delete-tag", "DELETE":
                self._has(self.store.get_model_version(name, version).tags, key)
                self.store.delete_model_version_tag(name, version, key)
            case "get-download-uri", "GET":
                return {"artifact_uri": f"s3://kept/{self.store.get_model_version(name, version).name}/{version}"}
            case _:
                return self.other(method, f"model-versions/{verb}", name, body)
        return {}

    def other(self, method: str, part: str, name: str, body: dict[str, Any]) -> Any:
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} /{part}' ({name}, {sorted(body)})")

    def model(self, found: Any, *, whole: bool) -> Any:
        raise NotImplementedError

    def version(self, found: Any, *, whole: bool) -> Any:
        raise NotImplementedError

    def mine(self, name: str) -> bool:
        raise NotImplementedError

    def order(self, body: dict[str, Any], most: int) -> list[str] | None:
        raise NotImplementedError

    def _models(self, body: dict[str, Any]) -> Any:
        if body.get("filter"):
            raise Refused(400, "INVALID_PARAMETER_VALUE", "no filter is supported here")
        order = self.order(body, 1_000)
        everything = self.store.search_registered_models(max_results=1_000, order_by=order)
        assert everything.token is None
        page, token = self._paged([m for m in everything if self.mine(m.name)], body)
        return {"registered_models": [self.model(m, whole=False) for m in page], "next_page_token": token}

    def _versions(self, body: dict[str, Any]) -> Any:
        named = SINGLE.fullmatch(str(body.get("filter")))
        if named is None:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Unsupported filter query: {body.get('filter')}")
        if body.get("order_by") or int(body.get("max_results", 0)) > 10_000:
            raise Refused(400, "INVALID_PARAMETER_VALUE", "unsupported")
        name = self.check(named[1])
        found = self.store.search_model_versions(f"name = '{name}'", order_by=["version_number ASC"])
        page, token = self._paged(list(found), body)
        return {"model_versions": [self.version(v, whole=False) for v in page], "next_page_token": token}

    def _paged(self, found: list[Any], body: dict[str, Any]) -> tuple[list[Any], str]:
        begin = str(body.get("page_token", ""))
        if not begin and self.plane.hollow:
            return [], "0"
        start, size = int(begin or 0), min(int(body.get("max_results", 100)), self.plane.page)
        end = start + size
        return found[start:end], str(end) if end < len(found) else ""

    def _has(self, tags: dict[str, str], key: str) -> None:
        if key not in tags:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Tag {key} does not exist.")

    def status(self, found: Any) -> str:
        return self.plane.statuses.get((found.name, int(found.version)), "READY")


class Workspace(Service):
    """The workspace's own registry: MLflow's messages, no aliases, one condition to a filter."""

    def check(self, name: str) -> str:
        if not name or set(name) & set("./:"):
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Invalid name '{name}'.")
        return name

    def mine(self, name: str) -> bool:
        return "." not in name

    def order(self, body: dict[str, Any], most: int) -> list[str] | None:
        if int(body.get("max_results", 0)) > most:
            raise Refused(400, "INVALID_PARAMETER_VALUE", "max_results is too large")
        return [body["order_by"]] if body.get("order_by") else None

    def model(self, found: Any, *, whole: bool) -> Any:
        shown = _json(found.to_proto())
        shown.pop("aliases", None)
        latest = [self.version(v, whole=whole) for v in found.latest_versions]
        # Only those that are ready, says the API.
        return shown | {"latest_versions": [v for v in latest if v["status"] == "READY"]}

    def version(self, found: Any, *, whole: bool) -> Any:
        shown = _json(found.to_proto())
        shown.pop("aliases", None)
        return shown | {"status": self.status(found)}

    def other(self, method: str, part: str, name: str, body: dict[str, Any]) -> Any:
        if part == "model-versions/list-artifacts":
            folder = self.plane.folder(name, int(body["version"]))
            there = sorted(folder.iterdir()) if folder.is_dir() else []
            return {"files": [{"path": f.name, "is_dir": f.is_dir(), "file_size": f.stat().st_size} for f in there]}
        if part == "model-versions/get-signed-download-uri":
            return {"signed_uri": self.plane.signed(name, str(body["version"]), str(body["path"]))}
        return super().other(method, part, name, body)


class Catalog(Service):
    """Unity Catalog: its own messages, three levels, hits without tags and aliases, no order."""

    def check(self, name: str) -> str:
        levels = name.split(".")
        if len(levels) != 3 or not all(levels):
            raise Refused(400, "INVALID_PARAMETER_VALUE", "Bad model name: please specify all three levels")
        return name

    def tag(self, key: str) -> str:
        if set(key) & RESERVED:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Tag name {key} contains one or more reserved characters")
        return key

    def mine(self, name: str) -> bool:
        return name.count(".") == 2

    def order(self, body: dict[str, Any], most: int) -> list[str] | None:
        if body.get("order_by"):
            raise Refused(400, "INVALID_PARAMETER_VALUE", "order_by is unsupported")
        # Some order that nobody promised.
        return ["name DESC"]

    def model(self, found: Any, *, whole: bool) -> Any:
        from mlflow.protos import databricks_uc_registry_messages_pb2 as messages

        shown = messages.RegisteredModel(
            name=found.name,
            creation_timestamp=found.creation_timestamp,
            last_updated_timestamp=found.last_updated_timestamp if self.plane.touches else found.creation_timestamp,
        )
        if whole:
            shown.tags.extend(messages.RegisteredModelTag(key=k, value=v) for k, v in found.tags.items())
            shown.aliases.extend(
                messages.RegisteredModelAlias(alias=a, version=str(v)) for a, v in found.aliases.items()
            )
        return _json(shown)

    def version(self, found: Any, *, whole: bool) -> Any:
        from mlflow.protos import databricks_uc_registry_messages_pb2 as messages

        shown = messages.ModelVersion(
            name=found.name,
            version=str(found.version),
            creation_timestamp=found.creation_timestamp,
            last_updated_timestamp=found.last_updated_timestamp,
            source=found.source,
            run_id=found.run_id or "",
            status=messages.ModelVersionStatus.Value(self.status(found)),
        )
        if whole:
            shown.tags.extend(messages.ModelVersionTag(key=k, value=v) for k, v in found.tags.items())
            self._measured(shown, found)
        return _json(shown)

    def _measured(self, shown: Any, found: Any) -> None:
        model_id = self.plane.inline.get((found.name, int(found.version)))
        if model_id is None:
            return
        shown.model_id = model_id
        for row in self.plane.tracking.get_logged_model(model_id).metrics or ():
            shown.model_metrics.add(
                key=row.key, value=row.value, timestamp=row.timestamp, step=row.step, model_id=model_id,
                run_id=row.run_id, dataset_name=row.dataset_name, dataset_digest=row.dataset_digest,
            )  # fmt: skip

    def other(self, method: str, part: str, name: str, body: dict[str, Any]) -> Any:
        match part, method:
            case "registered-models/alias", "POST":
                self.store.set_registered_model_alias(name, body["alias"], int(body["version"]))
            case "registered-models/alias", "DELETE":
                self.store.delete_registered_model_alias(name, body["alias"])
            case "registered-models:is-databricks-sdk-models-artifact-repository-enabled", "GET":
                return {"is_databricks_sdk_models_artifact_repository_enabled": True}
            case "model-versions/emit-lineage", "POST":
                return {}
            case _:
                return super().other(method, part, name, body)
        return {}


def _json(message: Any) -> Any:
    from mlflow.utils.proto_json_utils import message_to_json

    return json.loads(message_to_json(message))
