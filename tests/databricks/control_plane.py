"""A workspace that behaves as Databricks was read and measured to, on loopback.

Replies are built by databricks-sdk's own models and requests read by them, so that a field of another name shows. A
change of an endpoint takes several polls, a second one meanwhile is refused, and a change that fails leaves the old
configuration serving.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from databricks.sdk.service.serving import (
    AutoCaptureConfigInput,
    AutoCaptureConfigOutput,
    EndpointCoreConfigInput,
    EndpointCoreConfigOutput,
    EndpointPendingConfig,
    EndpointState,
    EndpointStateConfigUpdate,
    EndpointStateReady,
    EndpointTag,
    ServedEntityInput,
    ServedEntityOutput,
    ServedModelState,
    ServedModelStateDeployment,
    ServingEndpointDetailed,
    ServingEndpointDetailedPermissionLevel,
    TrafficConfig,
)

from tests.databricks.files_plane import Files
from tests.databricks.jobs_plane import Jobs
from tests.databricks.refused import Refused
from tests.databricks.registry_plane import Registries

TOKEN = "for-the-tests-only"  # noqa: S105 - nothing takes it but this server


@dataclass
class Counted:
    """What one served entity answered in the last whole minute."""

    requests: int = 0
    errors: int = 0
    ms: float = 20.0


@dataclass
class Endpoint:
    """One serving endpoint."""

    name: str
    tags: dict[str, str]
    config: EndpointCoreConfigOutput | None
    pending: EndpointPendingConfig | None
    update: EndpointStateConfigUpdate
    polls: int
    """Reads until the change under way is through."""
    updated: float
    versions: int = 0
    """The newest configuration's number."""
    level: str = "CAN_MANAGE"
    counted: dict[str, Counted] = field(default_factory=dict)


@dataclass
class Workspace:
    """The state behind the API."""

    polls: int = 5
    now: float = 1_700_000_000.0
    broken: dict[str, str] = field(default_factory=dict)
    """Entity version -> why it cannot be brought up."""
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    jobs: Jobs = field(default_factory=Jobs)
    registries: Registries | None = None
    files: Files | None = None
    refuse: Callable[[str, str], Refused | None] = lambda _method, _path: None
    lose: Callable[[str, str], bool] = lambda _method, _path: False
    """Whether the effect is done and the answer lost."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    answers: Callable[[str, str], tuple[int, Any]] = lambda _name, version: (200, {"predictions": [int(version)]})
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def traffic(self, requests: int = 100, failing: int | None = None) -> None:
        """Some minutes pass, in which every route gets its share; one version may fail on a tenth of it."""
        self.now += 180
        for endpoint in self.endpoints.values():
            versions = {
                e.name: e.entity_version for e in (endpoint.config.served_entities if endpoint.config else []) or []
            }
            endpoint.counted = {
                name: Counted(
                    requests * percent // 100, requests * percent // 1000 if versions[name] == str(failing) else 0
                )
                for name, percent in routes(endpoint).items()
            }

    def reply(self, method: str, path: str, sent: bytes, query: str) -> tuple[int, Any]:
        """One request, one reply: of files what they hold, of all else JSON. Raises `Refused`."""
        self.asked.append((method, path))
        refused = self.refuse(method, path)
        if refused is not None:
            raise refused
        given = dict(parse_qsl(query))
        held = self.files.answer(method, path, sent, given) if self.files else None
        return held or self.answer(method, path, json.loads(sent) if sent else given or None)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/.well-known/databricks-config":
            raise Refused(404, "NOT_FOUND", "no such page")
        if path == "/api/2.0/serving-endpoints" and method == "POST":
            return 200, self._create(body)
        found = re.fullmatch(r"/serving-endpoints/([^/]+)/served-models/([^/]+)/invocations", path)
        if found and method == "POST":
            return self._invoke(found[1], found[2])
        found = re.fullmatch(r"/api/2.2/jobs/([\w/-]+)", path)
        if found:
            return 200, self.jobs.answer(found[1], body or {}, self.now)
        said = self.registries.answer(method, path, body or {}) if self.registries else None
        if said is not None:
            return said
        found = re.fullmatch(r"/api/2.0/serving-endpoints/([^/]+)(/\w+)?", path)
        if not found:
            raise Refused(404, "ENDPOINT_NOT_FOUND", f"no API {path}")
        endpoint = self.endpoints.get(found[1])
        if endpoint is None:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Endpoint {found[1]} does not exist.")
        return 200, self._on(endpoint, method, found[2], body)

    def _on(self, endpoint: Endpoint, method: str, part: str | None, body: Any) -> Any:
        match method, part:
            case "GET", None:
                return self._get(endpoint)
            case "DELETE", None:
                del self.endpoints[endpoint.name]
                return {}
            case "PUT", "/config":
                return self._update(endpoint, body)
            case "PATCH", "/tags":
                return self._tag(endpoint, body)
            case "GET", "/metrics":
                return _exported(endpoint)
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"no API {method} {part}")

    def _create(self, body: Any) -> Any:
        if body["name"] in self.endpoints:
            raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"Endpoint {body['name']} already exists.")
        tags = {tag.key: tag.value or "" for tag in map(EndpointTag.from_dict, body.get("tags") or [])}
        endpoint = Endpoint(body["name"], tags, None, None, EndpointStateConfigUpdate.NOT_UPDATING, 0, self.now)
        self._begin(endpoint, EndpointCoreConfigInput.from_dict(body["config"]))
        self.endpoints[endpoint.name] = endpoint
        return self._detail(endpoint).as_dict()

    def _update(self, endpoint: Endpoint, body: Any) -> Any:
        if endpoint.update is EndpointStateConfigUpdate.IN_PROGRESS:
            raise Refused(409, "RESOURCE_CONFLICT", f"Endpoint {endpoint.name} is currently being updated.")
        self._begin(endpoint, EndpointCoreConfigInput.from_dict(body))
        return self._detail(endpoint).as_dict()

    def _begin(self, endpoint: Endpoint, asked: EndpointCoreConfigInput) -> None:
        entities = asked.served_entities or []
        names = [entity.name for entity in entities]
        shares = {
            r.served_entity_name or r.served_model_name: r.traffic_percentage
            for r in (asked.traffic_config.routes if asked.traffic_config else None) or []
        }
        if not names or len(set(names)) != len(names):
            raise Refused(400, "INVALID_PARAMETER_VALUE", "Served entities need names of their own.")
        if set(shares) - set(names) or sum(shares.values()) != 100:
            raise Refused(400, "INVALID_PARAMETER_VALUE", "Routes must name served entities and sum to 100.")
        active = {e.name: e for e in (endpoint.config.served_entities if endpoint.config else None) or []}
        endpoint.versions += 1
        endpoint.updated, endpoint.polls = self.now, self.polls
        endpoint.update = EndpointStateConfigUpdate.IN_PROGRESS
        endpoint.pending = EndpointPendingConfig(
            config_version=endpoint.versions,
            start_time=int(self.now * 1000),
            served_entities=[_coming(entity, active.get(entity.name)) for entity in entities],
            traffic_config=asked.traffic_config,
            auto_capture_config=_captured(asked.auto_capture_config),
        )

    def _tag(self, endpoint: Endpoint, body: Any) -> Any:
        for tag in body.get("add_tags") or []:
            endpoint.tags[tag["key"]] = tag.get("value", "")
        for key in body.get("delete_tags") or []:
            endpoint.tags.pop(key, None)
        return {"tags": [{"key": key, "value": value} for key, value in endpoint.tags.items()]}

    def _get(self, endpoint: Endpoint) -> Any:
        if endpoint.update is EndpointStateConfigUpdate.IN_PROGRESS:
            endpoint.polls -= 1
            if endpoint.polls <= 0:
                self._finish(endpoint)
        return self._detail(endpoint).as_dict()

    def _finish(self, endpoint: Endpoint) -> None:
        pending = endpoint.pending
        assert pending is not None
        states = [self._brought_up(entity) for entity in pending.served_entities or []]
        pending.served_entities = states
        if any(
            state.state.deployment is ServedModelStateDeployment.DEPLOYMENT_FAILED for state in states if state.state
        ):
            endpoint.update = EndpointStateConfigUpdate.UPDATE_FAILED
            return
        endpoint.config = EndpointCoreConfigOutput(
            config_version=pending.config_version,
            served_entities=states,
            traffic_config=pending.traffic_config,
            auto_capture_config=pending.auto_capture_config,
        )
        endpoint.pending, endpoint.update = None, EndpointStateConfigUpdate.NOT_UPDATING

    def _brought_up(self, entity: ServedEntityOutput) -> ServedEntityOutput:
        why = self.broken.get(str(entity.entity_version))
        deployment = (
            ServedModelStateDeployment.DEPLOYMENT_FAILED if why else ServedModelStateDeployment.DEPLOYMENT_READY
        )
        return replace(entity, state=ServedModelState(deployment, why or ""))

    @staticmethod
    def _detail(endpoint: Endpoint) -> ServingEndpointDetailed:
        return ServingEndpointDetailed(
            name=endpoint.name,
            config=endpoint.config,
            pending_config=endpoint.pending,
            last_updated_timestamp=int(endpoint.updated * 1000),
            permission_level=ServingEndpointDetailedPermissionLevel(endpoint.level),
            state=EndpointState(
                endpoint.update, EndpointStateReady.READY if endpoint.config else EndpointStateReady.NOT_READY
            ),
            tags=[EndpointTag(key, value) for key, value in endpoint.tags.items()],
        )

    def _invoke(self, name: str, entity: str) -> tuple[int, Any]:
        endpoint = self.endpoints.get(name)
        active = {
            e.name: e for e in ((endpoint.config.served_entities if endpoint and endpoint.config else None) or [])
        }
        if entity not in active:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"No served model {entity}.")
        return self.answers(name, str(active[entity].entity_version))


def _coming(asked: ServedEntityInput, there: ServedEntityOutput | None) -> ServedEntityOutput:
    """As asked for, in every field; brought up anew unless it is there and nothing of it changes."""
    fields = {k: v for k, v in vars(asked).items() if k in ServedEntityOutput.__dataclass_fields__}
    coming = ServedEntityOutput(
        **fields, state=ServedModelState(ServedModelStateDeployment.DEPLOYMENT_CREATING, "creating")
    )
    return there if there is not None and replace(coming, state=there.state) == there else coming


def _captured(asked: AutoCaptureConfigInput | None) -> AutoCaptureConfigOutput | None:
    if asked is None:
        return None
    return AutoCaptureConfigOutput(
        catalog_name=asked.catalog_name, schema_name=asked.schema_name, enabled=asked.enabled
    )


def routes(endpoint: Endpoint) -> dict[str, int]:
    """What the endpoint serves, by name of the served entity."""
    config = endpoint.config.traffic_config if endpoint.config else None
    found = (config.routes if config else None) or []
    return {
        str(r.served_entity_name or r.served_model_name): r.traffic_percentage for r in found if r.traffic_percentage
    }


def hand_made(workspace: Workspace, name: str, entity: str, model: str, version: int) -> Endpoint:
    """An endpoint that a person made: it serves one version, and nothing is tagged."""
    served = ServedEntityOutput(
        name=entity,
        entity_name=model,
        entity_version=str(version),
        workload_size="Medium",
        scale_to_zero_enabled=True,
        environment_vars={"KEPT": "yes"},
        state=ServedModelState(ServedModelStateDeployment.DEPLOYMENT_READY, ""),
    )
    traffic = TrafficConfig.from_dict({"routes": [{"served_model_name": entity, "traffic_percentage": 100}]})
    config = EndpointCoreConfigOutput(
        config_version=1,
        served_entities=[served],
        traffic_config=traffic,
        auto_capture_config=AutoCaptureConfigOutput(catalog_name="ml", schema_name="log", enabled=True),
    )
    made = Endpoint(name, {}, config, None, EndpointStateConfigUpdate.NOT_UPDATING, 0, workspace.now, versions=1)
    workspace.endpoints[name] = made
    return made


def _exported(endpoint: Endpoint) -> str:
    lines = ["# TYPE request_count_total gauge"]
    for name, counted in endpoint.counted.items():
        labels = f'endpoint_name="{endpoint.name}",served_model_name="{name}"'
        lines.append(f"request_count_total{{{labels}}} {counted.requests} 1700000000000")
        lines.append(f"request_4xx_count_total{{{labels}}} 0 1700000000000")
        lines.append(f"request_5xx_count_total{{{labels}}} {counted.errors} 1700000000000")
        for bound in (counted.ms / 2, counted.ms * 2):
            upto = counted.requests if bound > counted.ms else 0
            lines.append(f'request_latency_ms_bucket{{{labels},le="{bound}"}} {upto} 1700000000000')
        lines.append(f'request_latency_ms_bucket{{{labels},le="+Inf"}} {counted.requests} 1700000000000')
    return "\n".join([*lines, "# EOF", ""])


@contextmanager
def serving(workspace: Workspace) -> Iterator[Workspace]:
    """The workspace on a port of its own; its `url` is set."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def handle_one_request(self) -> None:
            self.close_connection = True
            super().handle_one_request()

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length)
            path, _, query = self.path.partition("?")
            headers: dict[str, str] = {}
            try:
                if self.headers.get("Authorization") != f"Bearer {TOKEN}" and not path.startswith(
                    ("/.well-known", "/signed/")
                ):
                    raise Refused(401, "UNAUTHENTICATED", "no valid token")
                with workspace.lock:
                    status, said = workspace.reply(self.command, path, sent, query)
                headers = getattr(said, "headers", headers)
                if workspace.lose(self.command, path):
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
            except Refused as refused:
                status, headers = refused.status, refused.headers
                said = {"error_code": refused.code, "message": str(refused)}
            data = said if isinstance(said, bytes) else (said if isinstance(said, str) else json.dumps(said)).encode()
            self.send_response(HTTPStatus(status))
            for key, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_HEAD = do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815 - the server's own names

        def log_message(self, *_: Any) -> None:
            """Silent: what is asked is in `Workspace.asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    workspace.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield workspace
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
