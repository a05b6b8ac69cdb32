"""A local Azure for the tests: resource manager, token endpoint, blob storage, scoring and metrics of one workspace.

It behaves as the service was measured or documented to: a write starts an operation and returns; traffic shows some
time after its write was accepted; an endpoint that changes, or did a moment ago, refuses; names of what is named must
exist. Time is the cloud's own and passes when a test lets it.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.azureml import asked_and_answered

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP, WORKSPACE, LOCATION = "ml-group", "ml-workspace", "westeurope"
ACCOUNT, CONTAINER = "mlstorage", "azureml-blobstore"
WORKSPACE_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.MachineLearningServices"
    f"/workspaces/{WORKSPACE}"
)
SHORT = f"{SUBSCRIPTION}/{GROUP}/{WORKSPACE}"
KEY = "the-primary-key"
MOST_DEPLOYMENTS = 20
PAGE = 2
"""Entries of a listing before it names the next page."""
Json = dict[str, Any]


class Gone(Exception):
    """The connection ends without an answer."""


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return dict(json.loads(self.body)) if self.body else {}

    def __str__(self) -> str:
        return f"{self.method} {self.path.removeprefix(WORKSPACE_ID)}"


@dataclass(frozen=True)
class Answer:
    """One reply."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(found: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        return Answer(status, json.dumps(found).encode(), {"Content-Type": "application/json", **(headers or {})})


def named(family: str, endpoint: str) -> str:
    """How the cloud keeps an endpoint: a batch endpoint may have the name of an online one."""
    return f"batch/{endpoint}" if family.lower() == "batch" else endpoint


def refused(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An error as the resource manager writes it."""
    return Answer.of({"error": {"code": code, "message": message}}, status, headers)


@dataclass
class Fault:
    """What goes wrong with the calls that match, so many times."""

    pattern: re.Pattern[str]
    answer: Answer | None
    """None: the connection ends without one."""
    times: int = 1
    after: bool = False
    """Whether the call has its effect first."""


@dataclass
class Operation:
    """Something that takes time."""

    ends: float
    error: Json | None = None

    def state(self, now: float) -> str:
        return "InProgress" if now < self.ends else "Failed" if self.error else "Succeeded"


@dataclass
class Deployment:
    """One deployment of an endpoint."""

    body: Json
    operation: Operation
    operation_id: str
    verb: str = "Creating"
    deleting: Operation | None = None

    def state(self, now: float) -> str:
        if self.deleting is not None:
            return "Deleting"
        told = self.operation.state(now)
        return {"InProgress": self.verb}.get(told, told)


@dataclass
class Endpoint:
    """One online endpoint."""

    body: Json
    operation: Operation
    verb: str = "Creating"
    shown: dict[str, int] = field(default_factory=dict)
    """Traffic as reads tell it and requests meet it."""
    copied: dict[str, int] = field(default_factory=dict)
    """Mirrored traffic, in the same way."""
    copies: int = 0
    """Hundredths of a copy that are owed."""
    pending: tuple[float, dict[str, int], dict[str, int]] | None = None
    deployments: dict[str, Deployment] = field(default_factory=dict)
    served: list[tuple[float, str, int, float]] = field(default_factory=list)
    """(when, deployment, status, milliseconds) of every request by traffic or by header."""
    turn: int = 0


class Cloud:
    """Everything there is, and what a test may do to it behind everybody's back."""

    denied: list[str]
    """Actions that the identity may not do in the workspace, whatever else it may."""
    monitored: set[str] | None
    """Endpoints on which alone the identity may read metrics; None: wherever it may read."""

    def __init__(self) -> None:
        self.base = self.cluster = ""
        """Where attached Kubernetes clusters answer: in clear, as they do without a certificate."""
        self.name, self.now = f"local-{uuid.uuid4().hex[:8]}", 1_800_000_000.0
        self.lock = threading.RLock()
        self.calls: list[str] = []
        self.wrong: list[str] = []
        """Requests and answers that are not what the SDK or the service's description declares."""
        self.faults: list[Fault] = []
        self.outage: tuple[int, bool] | None = None
        """Calls that are still answered before all of Azure is out; whether the last one loses only its answer."""
        self.endpoint_seconds, self.deployment_seconds = 60.0, 600.0
        self.traffic_seconds, self.traffic_lag, self.delete_seconds = 20.0, 5.0, 120.0
        self.refuses_after = 2.0
        """Seconds after an operation's end in which an endpoint still says that it is updating."""
        self.job_seconds = 300.0
        self.delay = 0.0
        """Seconds of the real clock that each call takes."""
        self.upload_rate = 0.0
        """Bytes that the workspace's own store takes in a second of the cloud's time, 0 for all at once."""
        self.metrics_lag, self.metrics_out = 120.0, False
        self.metrics_missing: set[int] = set()
        """Minutes (seconds / 60) that Azure Monitor never tells."""
        self.unknown_metrics: set[str] = set()
        self.wide = True
        """Whether the identity may do everything in the workspace."""
        self.broken: dict[str, Json] = {}
        """Version of a model -> the error of the operation of a deployment that names it."""
        self.scoring_errors: dict[str, int] = {}
        """Deployment -> status of its answers instead of 200."""
        self.job_endings: list[tuple[str, Json]] = []
        """How the next scoring jobs end in turn instead of well: status, and the error of the run."""
        self.scoring_ms: dict[str, float] = {}
        self.taken: dict[str, int] = {}
        """Names of endpoints in other workspaces of the region -> how their use is refused."""
        self.mute = False
        """Whether answers do not say which deployment gave them."""
        self.in_clear = False
        """Whether every endpoint's scoring URI is plain http."""
        self.quota = {"standardDSv2Family": (24, 100)}
        self.registry: Callable[[Asked], Answer | None] = lambda _asked: None
        """The model registry of the workspace, where a test has one."""
        self.clear()

        self.assets: dict[tuple[str, str, str], Json] = {}
        self.blobs: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.staged: dict[str, dict[str, bytes]] = {}
        """File -> id of a block -> what it holds: sent, and not yet part of the file."""
        self.commands: Callable[[Asked], Answer | None] = lambda _asked: None
        """Command jobs and the data assets that they read, where a test has some."""

    def clear(self) -> None:
        """Nothing deployed, and nothing goes wrong; what was registered and uploaded stays."""
        with self.lock:
            self.endpoints: dict[str, Endpoint] = {}
            self.operations: dict[str, Operation] = {}
            self.jobs: dict[str, tuple[str, Json, Operation]] = {}
            self.ended: dict[str, tuple[str, Json]] = {}
            self.broken.clear()
            self.faults.clear()
            self.scoring_errors.clear()
            self.job_endings.clear()
            self.scoring_ms.clear()
            self.metrics_missing.clear()
            self.unknown_metrics.clear()
            self.metrics_out = self.mute = self.in_clear = False
            self.upload_rate, self.monitored, self.denied = 0.0, None, []
            self.outage = None
            self.calls.clear()

    def be_quick(self) -> None:
        """What nobody waits for ends within the seconds for which a verb looks."""
        self.traffic_seconds, self.traffic_lag, self.endpoint_seconds, self.delete_seconds = 3.0, 1.0, 4.0, 3.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.now += seconds

    def fail(
        self,
        pattern: str,
        status: int = 503,
        times: int = 1,
        *,
        after: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """The next calls that match answer so; status 0: the connection ends. `after`: they have their effect first."""
        answer = refused(status, "Injected", "injected by the test", headers) if status else None
        self.faults.append(Fault(re.compile(pattern), answer, times, after))

    def count(self, pattern: str) -> int:
        """How many calls there were that match."""
        return len([call for call in self.calls if re.search(pattern, call)])

    def traffic(self, endpoint: str) -> dict[str, int]:
        """Weights as requests meet them now."""
        with self.lock:
            self._settle()
            return {name: share for name, share in self.endpoints[endpoint].shown.items() if share}

    def by_hand(self, endpoint: str, deployment: str, share: int = 100, tags: Mapping[str, str] | None = None) -> None:
        """An endpoint that a person made, with one deployment."""
        with self.lock:
            done = Operation(self.now - 1000)
            made = self.endpoints.setdefault(
                endpoint,
                Endpoint(
                    {
                        "location": LOCATION,
                        "kind": "Managed",
                        "tags": {"team": "fraud"},
                        "identity": {"type": "SystemAssigned"},
                        "properties": {"authMode": "Key", "description": "by hand", "properties": {"cost": "42"}},
                    },
                    done,
                ),
            )
            compute = {} if endpoint.startswith("batch/") else {"endpointComputeType": "Managed"}
            body = {"location": LOCATION, "tags": dict(tags or {}), "properties": compute}
            made.deployments[deployment] = Deployment(body, done, "by-hand")
            made.shown = {**made.shown, deployment: share} if share else made.shown

    def clients(self, endpoint: str, seconds: float, a_minute: int = 60) -> None:
        """Time passes while clients call the endpoint."""
        headers = {"authorization": f"Bearer {KEY}"}
        for _ in range(max(round(seconds / 60 * a_minute), 1)):
            with self.lock:
                self.now += 60 / a_minute
                self._settle()
                if endpoint in self.endpoints and self.endpoints[endpoint].shown:
                    self._score(Asked("POST", f"/score/{endpoint}", {}, headers, b"{}"), endpoint)

    def in_progress(self, endpoint: str, model: str, owner: str, *, canary: bool = False) -> None:
        """An endpoint of a watcher with a release that serves and one that starts, or that has a tenth of the traffic.

        The traffic was written three days ago, that of a canary ten minutes ago; clients call it each second.
        `endpoint`: as `named` has it.
        """
        tags = {"watcher.owner": owner, "watcher.model": model}
        for number, share in ((1, 90 if canary else 100), (2, 10 if canary else 0)):
            ours = {**tags, "watcher.version": str(number), "watcher.key": f"{number}-abcdef"}
            self.by_hand(endpoint, f"bench-model-v{number}-abcdef", share, ours)
        there, began = self.endpoints[endpoint], self.now - (600 if canary else 3 * 86_400)
        there.body["tags"] = tags | {"watcher.since": f"{began:.3f}"}
        if not canary:
            there.deployments["bench-model-v2-abcdef"].operation = Operation(self.now + 1e6)
            return
        for second in range(600):
            number = 2 if second % 10 == 0 else 1
            there.served.append((began + second, f"bench-model-v{number}-abcdef", 200, 12.0))

    def move(self, endpoint: str, traffic: Mapping[str, int]) -> None:
        """Somebody else sets the traffic."""
        with self.lock:
            self.endpoints[endpoint].shown, self.endpoints[endpoint].pending = dict(traffic), None

    def lose(self, endpoint: str, deployment: str) -> None:
        """Somebody else deletes a deployment."""
        with self.lock:
            there = self.endpoints[endpoint]
            there.deployments.pop(deployment)
            there.shown.pop(deployment, None)

    def answer(self, asked: Asked) -> Answer:
        """One request, one reply; raises `Gone`."""
        time.sleep(self.delay)
        with self.lock:
            self._settle()
            self.calls.append(str(asked))
            if self.outage is not None:
                left, takes_effect = self.outage
                self.outage = (left - 1, takes_effect)
                if left == 0 and takes_effect:
                    self._checked(asked)
                if left <= 0:
                    raise Gone
            fault = next((each for each in self.faults if each.times and each.pattern.search(str(asked))), None)
            if fault is None:
                return self._checked(asked)
            fault.times -= 1
            if fault.after:
                self._checked(asked)
            if fault.answer is None:
                raise Gone
            return fault.answer

    def _checked(self, asked: Asked) -> Answer:
        answer = self._route(asked)
        try:
            asked_and_answered.check(asked, answer)
        except AssertionError as error:
            self.wrong.append(str(error))
            raise Gone from None
        return answer

    def _route(self, asked: Asked) -> Answer:
        if (told := self.commands(asked)) is not None:
            return told
        for methods, pattern, handler in _ROUTES:
            found = pattern.fullmatch(asked.path)
            if found and asked.method in methods.split():
                if asked.path.startswith("/subscriptions/") and not self._authorised(asked):
                    return refused(401, "AuthenticationFailed", "no token of this cloud's resource manager")
                answer: Answer = handler(self, asked, **found.groupdict())
                return answer
        return self.registry(asked) or refused(404, "NotFound", f"{asked.method} {asked.path} is not served here")

    def _authorised(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer token-for-{self.base}"

    def _settle(self) -> None:
        """What has come to pass by now."""
        for endpoint in self.endpoints.values():
            if endpoint.pending is not None and self.now >= endpoint.pending[0]:
                (_, endpoint.shown, endpoint.copied), endpoint.pending = endpoint.pending, None
            for name, deployment in list(endpoint.deployments.items()):
                if deployment.deleting is not None and self.now >= deployment.deleting.ends:
                    del endpoint.deployments[name]

    # Around the workspace

    def _metadata(self, _asked: Asked) -> Answer:
        host = self.base.removeprefix("https://")
        return Answer.of(
            [
                {
                    "name": self.name,
                    "portal": "https://portal.local.test/",
                    "resourceManager": f"{self.base}/",
                    "authentication": {"loginEndpoint": f"{self.base}/login", "audiences": [self.base]},
                    "suffixes": {"storage": f"localhost:{host.rpartition(':')[2]}"},
                }
            ]
        )

    def _token(self, asked: Asked) -> Answer:
        if asked.headers.get("x-identity-header") != "the-header-of-the-host":
            return refused(400, "bad_request", "no header of this host")
        resource = asked.query["resource"]
        # Tokens live by the real clock, which is the SDK's.
        expires = int(datetime.now(UTC).timestamp()) + 86_400
        found = {"access_token": f"token-for-{resource}", "expires_on": str(expires), "resource": resource}
        return Answer.of(found | {"token_type": "Bearer"})

    def _workspace(self, _asked: Asked) -> Answer:
        return Answer.of({
            "id": WORKSPACE_ID, "name": WORKSPACE, "location": LOCATION, "identity": {"type": "SystemAssigned"},
            "type": "Microsoft.MachineLearningServices/workspaces",
            "properties": {
                "workspaceId": "w-1", "discoveryUrl": f"{self.base}/discovery", "mlFlowTrackingUri": "azureml://mlflow",
            },
        })  # fmt: skip

    def _operation(self, _asked: Asked, operation: str) -> Answer:
        found = self.operations.get(operation)
        if found is None:
            return refused(404, "OperationNotFound", "no such operation")
        state = found.state(self.now)
        body: Json = {"id": operation, "name": operation, "status": state}
        return Answer.of(body | ({"error": found.error} if state == "Failed" else {}), headers={"Retry-After": "10"})

    def _started(self, operation: Operation, verb: str) -> tuple[str, dict[str, str]]:
        number = f"{verb}-{uuid.uuid4().hex[:12]}"
        self.operations[number] = operation
        return number, {"Azure-AsyncOperation": self._operation_uri(number), "Retry-After": "10"}

    def _operation_uri(self, number: str) -> str:
        return (
            f"{self.base}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/locations/{LOCATION}"
            f"/mfeOperationsStatus/{number}?api-version=2023-04-01-preview"
        )

    # Online endpoints

    def _get_endpoint(self, _asked: Asked, family: str, endpoint: str) -> Answer:
        endpoint = named(family, endpoint)
        if endpoint not in self.endpoints:
            return refused(404, "ResourceNotFound", f"there is no endpoint {endpoint}")
        return Answer.of(self._endpoint_json(endpoint))

    def _endpoint_json(self, name: str) -> Json:
        there, batch = self.endpoints[name], name.startswith("batch/")
        shown: Json = {"traffic": there.shown, "mirrorTraffic": there.copied}
        scores = self.cluster if self.in_clear or there.body["properties"].get("compute") else self.base
        if batch:
            shown = {"defaults": {"deploymentName": next(iter(there.shown), None)}}
        properties = {
            "properties": {}, **there.body["properties"], **shown,
            "provisioningState": self._endpoint_state(there),
            "scoringUri": f"{self.base}/{name}/jobs" if batch else f"{scores}/score/{name}",
            "swaggerUri": f"{self.base}/swagger/{name}",
        }  # fmt: skip
        identity = there.body.get("identity") or {"type": "SystemAssigned"}
        return {
            **there.body, "id": f"{WORKSPACE_ID}/onlineEndpoints/{name}", "name": name.rpartition("/")[2],
            "type": f"Microsoft.MachineLearningServices/workspaces/{'batch' if batch else 'online'}Endpoints",
            "identity": {**identity, "principalId": "33333333-0000-0000-0000-000000000000",
                         "tenantId": "44444444-0000-0000-0000-000000000000"},
            "properties": properties,
        }  # fmt: skip

    def _endpoint_state(self, there: Endpoint) -> str:
        told = there.operation.state(self.now)
        return there.verb if told == "InProgress" else told

    def _busy(self, there: Endpoint) -> Answer | None:
        if self.now < there.operation.ends + self.refuses_after:
            return refused(409, "Conflict", "the endpoint is in Updating provisioning state")
        return None

    def _put_endpoint(self, asked: Asked, family: str, endpoint: str) -> Answer:
        endpoint = named(family, endpoint)
        body, there = asked.json, self.endpoints.get(endpoint)
        if not re.fullmatch(r"(batch/)?[a-z][a-z0-9-]{1,30}[a-z0-9]", endpoint):
            return refused(400, "BadArgument", f"{endpoint} is not a legal name")
        default = (body["properties"].pop("defaults", None) or {}).get("deploymentName")
        given = {default: 100} if default else body["properties"].pop("traffic", None) or {}
        traffic = {name: share for name, share in given.items() if share}
        if traffic and sum(traffic.values()) != 100:
            return refused(400, "BadArgument", f"traffic {traffic} does not sum to 100")
        if there is None:
            if endpoint in self.taken:
                return refused(self.taken[endpoint], "BadArgument", "There is already an endpoint with this name")
            if traffic:
                return refused(400, "BadArgument", "traffic names no deployment of the endpoint")
            there = Endpoint(body, Operation(self.now + self.endpoint_seconds))
            self.endpoints[endpoint] = there
            _, headers = self._started(there.operation, "endpoint")
            return Answer.of(self._endpoint_json(endpoint), 201, headers)
        if busy := self._busy(there):
            return busy
        for name in traffic:
            if name not in there.deployments or there.deployments[name].state(self.now) != "Succeeded":
                return refused(400, "BadArgument", f"traffic names {name}, which is not ready")
        copied = {name: share for name, share in (body["properties"].get("mirrorTraffic") or {}).items() if share}
        if problem := self._cannot_copy(there, traffic, copied):
            return refused(400, "BadArgument", problem)
        there.body, there.verb = body, "Updating"
        there.operation = Operation(self.now + self.traffic_seconds)
        there.pending = (self.now + self.traffic_seconds + self.traffic_lag, traffic, copied)
        self._settle()
        _, headers = self._started(there.operation, "endpoint")
        return Answer.of(self._endpoint_json(endpoint), 201, headers)

    @staticmethod
    def _cannot_copy(there: Endpoint, traffic: Mapping[str, int], copied: Mapping[str, int]) -> str | None:
        if not copied:
            return None
        (name, share), *more = copied.items()
        if more or not 0 < share <= 50 or name in traffic or name not in there.deployments:
            return f"mirrorTraffic {dict(copied)} is not one deployment without traffic, and 50 % at most"
        return "mirrorTraffic is not for Kubernetes" if there.body.get("kind") == "K8S" else None

    def _list_keys(self, _asked: Asked, endpoint: str) -> Answer:
        if endpoint not in self.endpoints:
            return refused(404, "ResourceNotFound", f"there is no endpoint {endpoint}")
        if self.endpoints[endpoint].body["properties"]["authMode"] != "Key":
            return refused(400, "BadArgument", "the endpoint does not use keys")
        return Answer.of({"primaryKey": KEY, "secondaryKey": "the-secondary-key"})

    def _get_token(self, _asked: Asked, endpoint: str) -> Answer:
        if self.endpoints[endpoint].body["properties"]["authMode"] != "AMLToken":
            return refused(400, "BadArgument", "the endpoint does not use tokens")
        return Answer.of({"accessToken": "the-aml-token", "expiryTimeUtc": 1, "refreshAfterTimeUtc": 1})

    def _list_deployments(self, asked: Asked, family: str, endpoint: str) -> Answer:
        endpoint = named(family, endpoint)
        if endpoint not in self.endpoints:
            return refused(404, "ResourceNotFound", f"there is no endpoint {endpoint}")
        names = sorted(self.endpoints[endpoint].deployments)
        return self._page(asked, [self._deployment_json(endpoint, name) for name in names])

    def _page(self, asked: Asked, entries: list[Json]) -> Answer:
        start = int(asked.query.get("$skip", "0"))
        body: Json = {"value": entries[start : start + PAGE]}
        if start + PAGE < len(entries):
            version = asked.query["api-version"]
            body["nextLink"] = f"{self.base}{asked.path}?api-version={version}&$skip={start + PAGE}"
        return Answer.of(body)

    def _get_deployment(self, _asked: Asked, family: str, endpoint: str, deployment: str) -> Answer:
        endpoint = named(family, endpoint)
        if endpoint not in self.endpoints or deployment not in self.endpoints[endpoint].deployments:
            return refused(404, "ResourceNotFound", f"there is no deployment {deployment}")
        return Answer.of(self._deployment_json(endpoint, deployment))

    def _deployment_json(self, endpoint: str, name: str) -> Json:
        there = self.endpoints[endpoint].deployments[name]
        properties = {
            "properties": {"AzureAsyncOperationUri": self._operation_uri(there.operation_id)},
            **there.body["properties"], "provisioningState": there.state(self.now),
        }  # fmt: skip
        return {
            **there.body, "id": f"{WORKSPACE_ID}/onlineEndpoints/{endpoint}/deployments/{name}", "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
            "properties": properties,
        }  # fmt: skip

    def _put_deployment(self, asked: Asked, family: str, endpoint: str, deployment: str) -> Answer:
        endpoint = named(family, endpoint)
        there, body = self.endpoints.get(endpoint), asked.json
        if there is None:
            return refused(404, "ResourceNotFound", f"there is no endpoint {endpoint}")
        if busy := self._busy(there):
            return busy
        before = there.deployments.get(deployment)
        if not re.fullmatch(r"[a-z][a-z0-9-]{1,30}[a-z0-9]", deployment):
            return refused(400, "BadArgument", f"{deployment} is not a legal name")
        if problem := self._beyond(endpoint, deployment, body):
            return refused(400, "BadArgument", problem)
        if before is None and len(there.deployments) >= MOST_DEPLOYMENTS:
            return refused(400, "BadArgument", f"an endpoint has {MOST_DEPLOYMENTS} deployments at most")
        if before is not None and before.state(self.now) in ("Creating", "Updating", "Deleting"):
            return refused(409, "Conflict", f"{deployment} is changing")
        missing = self._missing(body["properties"])
        if missing is not None:
            return refused(400, "BadArgument", f"there is no {missing}")
        model = body["properties"]["model"]
        version = (model if isinstance(model, str) else model["assetId"]).rpartition("/")[2]
        operation = Operation(self.now + self.deployment_seconds, self.broken.get(version))
        number, headers = self._started(operation, "deployment")
        verb = "Creating" if before is None else "Updating"
        there.deployments[deployment] = Deployment(body, operation, number, verb)
        return Answer.of(self._deployment_json(endpoint, deployment), 201, headers)

    @staticmethod
    def _beyond(endpoint: str, deployment: str, body: Json) -> str | None:
        """Which of the service's limits a deployment is beyond."""
        cluster = body["properties"].get("endpointComputeType") == "Kubernetes"
        seconds = (body["properties"].get("requestSettings") or {}).get("requestTimeout", "PT0S")
        if float(seconds.removeprefix("PT").removesuffix("S")) > (300 if cluster else 180):
            return f"requestTimeout {seconds} is too long"
        if int((body.get("sku") or {}).get("capacity") or 0) > 50:
            return "a deployment has 50 instances at most"
        return "the names are too long together" if cluster and len(endpoint + deployment) > 62 else None

    def _tag_deployment(self, asked: Asked, family: str, endpoint: str, deployment: str) -> Answer:
        endpoint = named(family, endpoint)
        if endpoint not in self.endpoints or deployment not in self.endpoints[endpoint].deployments:
            return refused(404, "ResourceNotFound", f"there is no deployment {deployment}")
        there = self.endpoints[endpoint].deployments[deployment]
        there.body = {**there.body, "tags": asked.json["tags"]}
        return Answer.of(self._deployment_json(endpoint, deployment))

    def _missing(self, properties: Json) -> str | None:
        """The asset that a deployment names and that is not there."""
        code = (properties.get("codeConfiguration") or {}).get("codeId")
        for kind, arm_id in (
            ("models", model if isinstance(model := properties["model"], str) else model["assetId"]),
            ("environments", properties.get("environmentId")),
            ("codes", code),
        ):
            if arm_id is None:
                continue
            found = re.fullmatch(rf"{re.escape(WORKSPACE_ID)}/{kind}/([^/]+)/versions/([^/]+)", arm_id)
            if found is None or (kind, found[1], found[2]) not in self.assets:
                return str(arm_id)
        if code is not None and properties.get("environmentId") is None:
            return "environment for the scoring script"
        return None

    def _delete_deployment(self, _asked: Asked, family: str, endpoint: str, deployment: str) -> Answer:
        endpoint = named(family, endpoint)
        there = self.endpoints.get(endpoint)
        found = there.deployments.get(deployment) if there else None
        if there is None or found is None:
            return Answer(204)
        if busy := self._busy(there):
            return busy
        if there.shown.get(deployment) or (there.pending and there.pending[1].get(deployment)):
            return refused(400, "BadArgument", f"{deployment} has traffic")
        if there.copied.get(deployment) or (there.pending and there.pending[2].get(deployment)):
            return refused(400, "BadArgument", f"{deployment} has mirrored traffic")
        found.deleting = found.deleting or Operation(self.now + self.delete_seconds)
        self._settle()
        number, headers = self._started(found.deleting, "delete")
        return Answer(202, b"", {**headers, "Location": self._operation_uri(number)})

    # Scoring and what is told of it

    def _score(self, asked: Asked, endpoint: str) -> Answer:
        there = self.endpoints.get(endpoint)
        if there is None:
            return refused(404, "NotFound", "no such endpoint")
        bearer = {"Key": KEY, "AMLToken": "the-aml-token", "AADToken": "token-for-https://ml.azure.test"}
        if asked.headers.get("authorization") != f"Bearer {bearer[there.body['properties']['authMode']]}":
            return refused(401, "Unauthorized", "the key is not one of the endpoint's")
        wanted = asked.headers.get("azureml-model-deployment")
        deployment = wanted or self._routed(there)
        found = there.deployments.get(deployment or "")
        if deployment is None or found is None or found.state(self.now) not in ("Succeeded", "Updating", "Scaling"):
            return refused(404, "NotFound", f"there is no deployment {deployment} that serves")
        said = {} if self.mute else {"azureml-model-deployment": deployment}
        status = self.scoring_errors.get(deployment, 200)
        there.served.append((self.now, deployment, status, self.scoring_ms.get(deployment, 12.0)))
        if wanted is None:
            self._copy(there)
        if status != 200:
            return Answer.of({"error_code": "BAD_REQUEST", "message": "it cannot be scored"}, status, said)
        try:
            json.loads(asked.body)
        except ValueError:
            return Answer.of({"error_code": "BAD_REQUEST", "message": "not JSON"}, 400, said)
        return Answer.of({"predictions": [1.0]}, headers=said)

    def _copy(self, there: Endpoint) -> None:
        """A share of the live requests, past the client."""
        for name, share in there.copied.items():
            there.copies += share
            if there.copies >= 100:
                there.copies -= 100
                there.served.append(
                    (self.now, name, self.scoring_errors.get(name, 200), self.scoring_ms.get(name, 12.0))
                )

    @staticmethod
    def _routed(there: Endpoint) -> str | None:
        """Which deployment the next request goes to: spread evenly by weight, the same in every run."""
        there.turn = (there.turn + 37) % 100
        reached = 0
        for name, share in sorted(there.shown.items()):
            reached += share
            if there.turn < reached:
                return name
        return None

    def _start_job(self, asked: Asked, endpoint: str) -> Answer:
        there = self.endpoints.get(f"batch/{endpoint}")
        if asked.headers.get("authorization") != "Bearer token-for-https://ml.azure.test":
            return refused(401, "Unauthorized", "no token of the machine learning service")
        wanted = asked.headers.get("azureml-model-deployment") or (next(iter(there.shown), None) if there else None)
        if there is None or wanted not in there.deployments:
            return refused(404, "NotFound", f"there is no deployment {wanted}")
        name = f"batchjob-{len(self.jobs)}"
        self.jobs[name] = (wanted, asked.json, Operation(self.now + self.job_seconds))
        if self.job_endings:
            self.ended[name] = self.job_endings.pop(0)
        elif wanted in self.scoring_errors:
            self.ended[name] = "Failed", {"code": "UserError", "message": "KeyError: 'bmi'"}
        return Answer.of({"name": name, "id": f"{WORKSPACE_ID}/jobs/{name}", "properties": {}}, 201)

    def _job(self, _asked: Asked, job: str) -> Answer:
        if job not in self.jobs:
            return refused(404, "NotFound", f"there is no job {job}")
        _, _, operation = self.jobs[job]
        ended, _ = self.ended.get(job, ("Completed", {}))
        status = "Running" if operation.state(self.now) == "InProgress" else ended
        properties = {"jobType": "Pipeline", "status": status}
        return Answer.of({"name": job, "id": f"{WORKSPACE_ID}/jobs/{job}", "properties": properties})

    def _discovery(self, _asked: Asked) -> Answer:
        return Answer.of({"api": self.base})

    def _run(self, asked: Asked, job: str) -> Answer:
        if not self._authorised(asked):
            return refused(401, "AuthenticationFailed", "no token of this cloud's resource manager")
        if job not in self.jobs:
            return refused(404, "NotFound", f"there is no run {job}")
        _, error = self.ended.get(job, ("", {}))
        return Answer.of({"runId": job, **({"error": {"error": error}} if error else {})})

    def _metrics(self, asked: Asked, endpoint: str) -> Answer:
        if self.metrics_out:
            return refused(503, "ServiceUnavailable", "no metrics today")
        start, end = (datetime.fromisoformat(each).timestamp() for each in asked.query["timespan"].split("/"))
        end = min(end, self.now - self.metrics_lag)
        name, by_status = asked.query["metricnames"], "statusCodeClass" in asked.query["$filter"]
        series: dict[tuple[str, ...], dict[int, list[float]]] = {}
        for at, deployment, status, ms in self.endpoints[endpoint].served:
            minute = int(at // 60)
            if not start <= minute * 60 < end or minute in self.metrics_missing:
                continue
            key: tuple[str, ...] = (deployment, f"{status // 100}xx") if by_status else (deployment,)
            series.setdefault(key, {}).setdefault(minute, []).append(ms)
        told = []
        for key, minutes in series.items():
            names = ("deployment", "statuscodeclass")
            points: list[Json] = []
            for minute in range(int(start // 60), int(end // 60)):
                point: Json = {"timeStamp": datetime.fromtimestamp(minute * 60, UTC).isoformat()}
                if minute in minutes:
                    many = sorted(minutes[minute])
                    value = float(len(many)) if name == "RequestsPerMinute" else many[int(0.95 * (len(many) - 1))]
                    point["average"] = value
                points.append(point)
            values = [{"name": {"value": names[i]}, "value": each} for i, each in enumerate(key)]
            told.append({"metadatavalues": values, "data": points})
        return Answer.of({"interval": "PT1M", "value": [{"name": {"value": name}, "timeseries": told}]})

    def _metric_definitions(self, _asked: Asked, endpoint: str) -> Answer:
        split = {
            "RequestsPerMinute": ["deployment", "statusCode", "statusCodeClass"],
            "RequestLatency_P95": ["deployment"],
        }
        value = [
            {"name": {"value": name}, "dimensions": [{"value": each} for each in dimensions]}
            for name, dimensions in split.items()
            if name not in self.unknown_metrics
        ]
        return Answer.of({"value": value})

    # Assets

    def _get_asset(self, _asked: Asked, kind: str, name: str, version: str) -> Answer:
        found = self.assets.get((kind, name, version))
        if found is None:
            return refused(404, "NotFound", f"there is no {kind}/{name}/versions/{version}")
        return Answer.of(found)

    def _list_assets(self, asked: Asked, kind: str, name: str) -> Answer:
        found = [body for (k, n, _), body in reversed(self.assets.items()) if (k, n) == (kind, name)]
        if kind == "models" and not found:
            return refused(404, "UserError", f"there is no model container {name}")
        if "hash" in asked.query:
            found = []
        return self._page(asked, found)

    def _put_asset(self, asked: Asked, kind: str, name: str, version: str) -> Answer:
        before, body = self.assets.get((kind, name, version)), asked.json
        uri = {"models": "modelUri", "codes": "codeUri"}.get(kind)
        if before is not None and uri and before["properties"].get(uri) != body["properties"].get(uri):
            return refused(409, "UserError", f"{kind}/{name}/versions/{version} has another path")
        stamp = datetime.fromtimestamp(self.now, UTC).isoformat()
        made = {
            "id": f"{WORKSPACE_ID}/{kind}/{name}/versions/{version}", "name": version,
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind}/versions",
            "systemData": {"createdAt": stamp, "lastModifiedAt": stamp},
            "properties": ({"flavors": {}} if kind == "models" else {}) | body["properties"],
        }  # fmt: skip
        self.assets[kind, name, version] = made
        return Answer.of(made, 201)

    def _pending_upload(self, _asked: Asked, kind: str, name: str, version: str) -> Answer:
        container = f"{self.base}/blob/{kind}-{name}-{version}"
        return Answer.of({
            "pendingUploadType": "TemporaryBlobReference", "pendingUploadId": "u-1",
            "blobReferenceForConsumption": {
                "blobUri": container, "storageAccountArmId": "/subscriptions/s",
                "credential": {"credentialType": "SAS", "sasUri": f"{container}?sv=2023&sig=s3cr3t"},
            },
        })  # fmt: skip

    def _datastore(self, _asked: Asked) -> Answer:
        return Answer.of({
            "id": f"{WORKSPACE_ID}/datastores/workspaceblobstore", "name": "workspaceblobstore",
            "properties": {
                "datastoreType": "AzureBlob", "accountName": ACCOUNT, "containerName": CONTAINER, "isDefault": True,
                "endpoint": f"localhost:{self.base.rpartition(':')[2]}", "protocol": "https",
                "credentials": {"credentialsType": "Sas"},
            },
        })  # fmt: skip

    def _secrets(self, _asked: Asked) -> Answer:
        return Answer.of({"secretsType": "Sas", "sasToken": "sv=2023&sig=s3cr3t"})

    def _blob(self, asked: Asked, path: str) -> Answer:
        if asked.query.get("sig") != "s3cr3t":
            return Answer(403, b"", {"x-ms-error-code": "AuthenticationFailed"})
        stamp = {"ETag": '"1"', "Last-Modified": "Wed, 25 Nov 2026 00:00:00 GMT", "x-ms-version": "2023-01-03"}
        if asked.query.get("comp") == "blocklist" and asked.method == "GET":
            return self._block_list(path)
        if asked.method in ("HEAD", "GET"):
            if path not in self.blobs:
                return Answer(404, b"", {"x-ms-error-code": "BlobNotFound"})
            content, metadata = self.blobs[path]
            if "x-ms-range" in asked.headers:
                stamp |= {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}
                return Answer(206, content, stamp | {"x-ms-blob-type": "BlockBlob"})
            return Answer(200, content, stamp | {"x-ms-blob-type": "BlockBlob"} | metadata)
        metadata = {key: value for key, value in asked.headers.items() if key.startswith("x-ms-meta-")}
        if asked.query.get("comp") == "metadata":
            self.blobs[path] = (self.blobs[path][0], metadata)
            return Answer(200, b"", stamp)
        if self.upload_rate and path.startswith(CONTAINER) and asked.query.get("comp") != "blocklist":
            self.now += len(asked.body) / self.upload_rate
        stamp |= {"x-ms-request-server-encrypted": "true"}
        if asked.query.get("comp") == "block":
            self.staged.setdefault(path, {})[asked.query["blockid"]] = asked.body
            return Answer(201, b"", stamp)
        content, staged = asked.body, self.staged.pop(path, {})
        if asked.query.get("comp") == "blocklist":
            content = b"".join(staged[each] for each in re.findall(r"<Latest>(.+?)</Latest>", asked.body.decode()))
        self.blobs[path] = (content, metadata)
        return Answer(201, b"", stamp)

    def _block_list(self, path: str) -> Answer:
        if path not in self.staged:
            return Answer(404, b"", {"x-ms-error-code": "BlobNotFound"})
        blocks = "".join(
            f"<Block><Name>{name}</Name><Size>{len(content)}</Size></Block>"
            for name, content in self.staged[path].items()
        )
        body = f"<BlockList><CommittedBlocks/><UncommittedBlocks>{blocks}</UncommittedBlocks></BlockList>"
        return Answer(200, body.encode(), {"Content-Type": "application/xml"})

    def _list_blobs(self, asked: Asked) -> Answer:
        if asked.query.get("sig") != "s3cr3t":
            return Answer(403, b"", {"x-ms-error-code": "AuthenticationFailed"})
        prefix = f"{CONTAINER}/{asked.query.get('prefix', '')}"
        names = sorted(name for name in self.blobs if name.startswith(prefix))
        start = int(asked.query.get("marker") or 0)
        blobs = "".join(
            f"<Blob><Name>{name.removeprefix(f'{CONTAINER}/')}</Name><Properties>"
            f"<Content-Length>{len(self.blobs[name][0])}</Content-Length><BlobType>BlockBlob</BlobType>"
            "</Properties></Blob>"
            for name in names[start : start + PAGE]
        )
        more = str(start + PAGE) if start + PAGE < len(names) else ""
        body = (
            f'<EnumerationResults ContainerName="{CONTAINER}"><Blobs>{blobs}</Blobs>'
            f"<NextMarker>{more}</NextMarker></EnumerationResults>"
        )
        return Answer(200, body.encode(), {"Content-Type": "application/xml"})

    # What `check` asks

    def _permissions(self, _asked: Asked, endpoint: str | None = None) -> Answer:
        actions = ["*"] if self.wide else ["*/read"]
        blind = self.monitored is not None and endpoint not in self.monitored
        denied = [*self.denied, *(["Microsoft.Insights/*"] if blind else ())]
        return Answer.of({"value": [{"actions": actions, "notActions": denied}]})

    def _sizes(self, _asked: Asked) -> Answer:
        sizes = [("Standard_DS3_v2", 4), ("Standard_F4s_v2", 4)]
        families = {"Standard_DS3_v2": "standardDSv2Family", "Standard_F4s_v2": "standardFSv2Family"}
        found = [{"name": name, "family": families[name], "vCPUs": cores} for name, cores in sizes]
        return Answer.of({"value": found})

    def _compute(self, _asked: Asked, compute: str) -> Answer:
        if compute not in ("cpu", "aks"):
            return refused(404, "ResourceNotFound", f"there is no compute {compute}")
        return Answer.of({"name": compute, "id": f"{WORKSPACE_ID}/computes/{compute}", "properties": {}})

    def _usages(self, _asked: Asked) -> Answer:
        found = [
            {"name": {"value": family}, "currentValue": used, "limit": limit, "unit": "Count"}
            for family, (used, limit) in self.quota.items()
        ]
        return Answer.of({"value": found})


_WS = re.escape(WORKSPACE_ID)
_PROVIDER = rf"/subscriptions/{SUBSCRIPTION}/providers/Microsoft\.MachineLearningServices/locations/{LOCATION}"
_ASSET = rf"{_WS}/(?P<kind>models|environments|codes)/(?P<name>[^/]+)/versions"
_ONLINE = rf"{_WS}/onlineEndpoints/(?P<endpoint>[^/]+)"
_EITHER = rf"{_WS}/(?P<family>online|batch)Endpoints/(?P<endpoint>[^/]+)"
_Handler = Callable[..., Answer]
_ROUTES: tuple[tuple[str, re.Pattern[str], _Handler], ...] = tuple(
    (methods, re.compile(pattern, re.IGNORECASE), handler)
    for methods, pattern, handler in (
        ("GET", r"/metadata/endpoints", Cloud._metadata),  # noqa: SLF001 - the class's own table
        ("GET", r"/msi/token", Cloud._token),  # noqa: SLF001
        ("GET", _WS, Cloud._workspace),  # noqa: SLF001
        ("GET", rf"{_PROVIDER}/mfeOperationsStatus/(?P<operation>[^/]+)", Cloud._operation),  # noqa: SLF001
        ("GET", rf"{_PROVIDER}/vmSizes", Cloud._sizes),  # noqa: SLF001
        ("GET", rf"{_WS}/computes/(?P<compute>[^/]+)", Cloud._compute),  # noqa: SLF001
        ("GET", rf"{_PROVIDER}/usages", Cloud._usages),  # noqa: SLF001
        (
            "GET",
            rf"{_WS}(?:/onlineEndpoints/(?P<endpoint>[^/]+))?/providers/Microsoft\.Authorization/permissions",
            Cloud._permissions,  # noqa: SLF001
        ),
        ("GET", _EITHER, Cloud._get_endpoint),  # noqa: SLF001
        ("PUT", _EITHER, Cloud._put_endpoint),  # noqa: SLF001
        ("POST", rf"{_ONLINE}/listKeys", Cloud._list_keys),  # noqa: SLF001
        ("POST", rf"{_ONLINE}/token", Cloud._get_token),  # noqa: SLF001
        ("GET", rf"{_EITHER}/deployments", Cloud._list_deployments),  # noqa: SLF001
        ("GET", rf"{_EITHER}/deployments/(?P<deployment>[^/]+)", Cloud._get_deployment),  # noqa: SLF001
        ("PUT", rf"{_EITHER}/deployments/(?P<deployment>[^/]+)", Cloud._put_deployment),  # noqa: SLF001
        ("DELETE", rf"{_EITHER}/deployments/(?P<deployment>[^/]+)", Cloud._delete_deployment),  # noqa: SLF001
        ("GET", rf"{_ONLINE}/providers/Microsoft\.Insights/metrics", Cloud._metrics),  # noqa: SLF001
        (
            "GET",
            rf"{_ONLINE}/providers/Microsoft\.Insights/metricDefinitions",
            Cloud._metric_definitions,  # noqa: SLF001
        ),
        ("PATCH", rf"{_EITHER}/deployments/(?P<deployment>[^/]+)", Cloud._tag_deployment),  # noqa: SLF001
        ("GET", rf"{_WS}/jobs/(?P<job>[^/]+)", Cloud._job),  # noqa: SLF001
        ("GET", r"/discovery", Cloud._discovery),  # noqa: SLF001
        ("GET", rf"/history/v1.0{_WS}/runs/(?P<job>[^/]+)", Cloud._run),  # noqa: SLF001
        ("POST", r"/batch/(?P<endpoint>[^/]+)/jobs", Cloud._start_job),  # noqa: SLF001
        ("POST", r"/score/(?P<endpoint>[^/]+)", Cloud._score),  # noqa: SLF001
        ("GET", _ASSET, Cloud._list_assets),  # noqa: SLF001
        ("GET", rf"{_ASSET}/(?P<version>[^/]+)", Cloud._get_asset),  # noqa: SLF001
        ("PUT", rf"{_ASSET}/(?P<version>[^/]+)", Cloud._put_asset),  # noqa: SLF001
        ("POST", rf"{_ASSET}/(?P<version>[^/]+)/startPendingUpload", Cloud._pending_upload),  # noqa: SLF001
        ("GET", rf"{_WS}/datastores/workspaceblobstore", Cloud._datastore),  # noqa: SLF001
        ("POST", rf"{_WS}/datastores/workspaceblobstore/listSecrets", Cloud._secrets),  # noqa: SLF001
        ("GET", rf"/{CONTAINER}", Cloud._list_blobs),  # noqa: SLF001
        ("PUT HEAD GET", rf"/(?P<path>blob/.+|{CONTAINER}/.+)", Cloud._blob),  # noqa: SLF001
    )
)
