"""Model serving endpoints of Databricks: served entities as releases, routes as weights.

The service changes one configuration as a whole and asynchronously, refuses a second change meanwhile, and has no
compare-and-set: a change is read, changed, written whole, and observed later. Its routes always sum to 100, so an
endpoint that is to serve nothing yet carries a tag that says so.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from deployers import exchange
from deployers.databricks import metrics
from deployers.databricks.workspace import AGAIN, CALL, PATIENCE, Workspaces, absent, text_of, translated
from watcher.errors import Conflict, Terminal, Transient
from watcher.ports import Deployer
from watcher.text import plain
from watcher.values import Example, Kind, Observed, Probe, Release, SeenRelease, State, Target, Traffic, Version

if TYPE_CHECKING:
    from databricks.sdk.service.serving import (
        ServedEntityInput,
        ServedEntityOutput,
        ServingEndpointDetailed,
        TrafficConfig,
    )

SHAPE = Kind.ENDPOINT
KIND = "databricks-serving"
ABSENT = "absent"
"""Token of an endpoint that does not exist yet."""
ALL = 100
OWNER, MODEL = "watcher_owner", "watcher_model"
"""Tags of the endpoint: who moves it, and what it serves."""
CREATED = "watcher_created"
"""Tag of an endpoint that we made, and so may delete once it is empty."""
TRAFFIC = "watcher_traffic"
"""Tag that changes with every write of the weights, and starts with `NONE` where nothing is to be served yet."""
NONE = "none-"
LONGEST_NAME = 63
MOST_ANSWER = 16 * 1024 * 1024
_KEY = re.compile(r"-v(\d+-[0-9a-f]{6})$")


@dataclass(frozen=True, slots=True)
class _Seen:
    """One read of an endpoint."""

    tags: Mapping[str, str]
    entities: Mapping[str, ServedEntityOutput]
    """By name, those of a change under way included."""
    routes: Mapping[str, int]
    """Of the configuration that serves, those above zero."""
    desired: Mapping[str, int]
    """The same of the configuration that a change under way brings."""
    updating: bool
    failed: bool
    """Whether the last change did not come to be."""
    pending: frozenset[str]
    """Names that only the change has."""
    detail: ServingEndpointDetailed

    @property
    def token(self) -> str:
        """Changes with our own writes of the weights and with what others do to the routes, not with a launch."""
        routes = json.dumps(self.desired, sort_keys=True).encode()
        return f"{self.tags.get(TRAFFIC, '')}.{hashlib.sha256(routes).hexdigest()[:8]}"

    @property
    def weights(self) -> dict[str, int]:
        return {} if self.tags.get(TRAFFIC, "").startswith(NONE) else dict(self.routes)


class DatabricksServing:
    """Moves serving endpoints of a workspace; `target.settings` name the endpoint and the size of its releases."""

    atomic = False
    lease = 3 * (CALL + PATIENCE)

    def __init__(self, workspaces: Workspaces | None = None, now: Callable[[], float] = time.time) -> None:
        self._workspaces = workspaces or Workspaces()
        self._now = now

    def observe(self, target: Target) -> Observed:
        seen = self._read(target)
        if seen is None:
            return Observed(token=ABSENT)
        ours = self._ours(seen, target)
        traffic = self._traffic(target, seen) if ours and seen.weights else {}
        return Observed(
            releases=tuple(_release(seen, name, target, traffic, ours=ours) for name in seen.entities),
            weights=seen.weights,
            token=seen.token,
            adopted=ours or not seen.routes or OWNER in seen.tags,
            problem=_foreign(seen, target) if OWNER in seen.tags and not ours else None,
            moving=seen.updating,
            delayed=True,
        )

    def launch(self, release: Release) -> None:
        target = release.target
        if _key(release.name) != release.version.identity.key:
            raise Conflict(f"{release.name} stands for another version than v{release.version.number}.")
        seen = self._read(target)
        if seen is None:
            self._create(release)
            return
        self._mine(seen, target)
        found = seen.entities.get(release.name)
        if found is not None:
            if not _is(found, release.version):
                raise Conflict(f"{release.name} serves {_what(found)} on {_name(target)}.")
            if _state(seen, release.name) is not State.FAILED:
                return
        self._quiet(seen, target)
        entities = [_input(entity) for name, entity in seen.entities.items() if _kept(seen, name, but=release.name)]
        self._update(target, seen, [*entities, _entity(release)], seen.routes or {release.name: ALL})

    def probe(self, release: Release, example: Example) -> Probe:
        seen = self._read(release.target)
        if seen is None or _state(seen, release.name) is not State.READY:
            raise Conflict(f"{release.name} is not ready on {_name(release.target)}.")
        answer = self._invoke(release, example)
        status, body = answer.status, answer.body
        if status == HTTPStatus.NOT_FOUND:
            raise Conflict(f"{release.name} is not there any more.")
        if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}:
            raise Transient(f"{release.name} answered {status}: it may be starting from zero.")
        # The answer carries no version. The address names the entity, and the configuration the version it holds.
        version = str(seen.entities[release.name].entity_version)
        ok = status == HTTPStatus.OK
        detail = f"{len(body)} bytes" if ok else f"{status}: {plain(body.decode('utf-8', 'replace'), 200)}"
        return Probe(ok, int(version) if version.isdecimal() else None, detail, answer.ms)

    def shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        from databricks.sdk.service.serving import EndpointTag

        now = self._read(target)
        if now is None:
            if weights or seen != ABSENT:
                raise Conflict(f"There is no endpoint {_name(target)} yet.")
            return
        self._mine(now, target)
        if now.token != seen:
            raise Conflict(f"{_name(target)} was changed since it was seen.")
        if weights and sum(weights.values()) != ALL:
            raise Terminal(f"Weights must sum to 100, not {sum(weights.values())}.")
        for name, percent in weights.items():
            if percent and _state(now, name) is not State.READY:
                raise Conflict(f"{name} is not ready on {_name(target)}.")
        self._quiet(now, target)
        # The tag first: who dies in between leaves the old routes under a new token, and they are shifted again.
        mark = f"{'' if weights else NONE}{secrets.token_hex(4)}"
        with translated(f"tag {_name(target)}"):
            self._workspaces.of(target.settings).serving_endpoints.patch(
                _name(target), add_tags=[EndpointTag(TRAFFIC, mark)]
            )
        if weights:
            kept = [_input(entity) for name, entity in now.entities.items() if _kept(now, name)]
            self._update(target, now, kept, weights)

    def retire(self, target: Target, name: str) -> None:
        seen = self._read(target)
        if seen is None or name not in seen.entities:
            return
        self._mine(seen, target)
        if seen.weights.get(name):
            raise Conflict(f"{name} is live on {_name(target)}.")
        if _key(name) is None:
            raise Conflict(f"{name} on {_name(target)} is not ours.")
        self._quiet(seen, target)
        kept = {other: entity for other, entity in seen.entities.items() if _kept(seen, other, but=name)}
        if kept:
            routes = {other: percent for other, percent in seen.routes.items() if other in kept}
            self._update(target, seen, [_input(entity) for entity in kept.values()], routes or {next(iter(kept)): ALL})
        elif name not in seen.pending or CREATED in seen.tags:
            self._delete(target, seen)

    def adopt(self, target: Target, version: Version) -> None:
        from databricks.sdk.service.serving import EndpointTag

        seen = self._read(target)
        name = _name(target)
        if seen is None:
            raise Terminal(f"There is no endpoint {name} to adopt.")
        if OWNER in seen.tags:
            self._mine(seen, target)
            return
        if not any(_is(seen.entities[live], version) for live in seen.routes):
            serving = ", ".join(_what(seen.entities[live]) for live in seen.routes) or "nothing"
            raise Terminal(f"{name} serves {serving}, not {version.identity.name} v{version.number}.")
        with translated(f"tag {name}"):
            self._workspaces.of(target.settings).serving_endpoints.patch(
                name, add_tags=[EndpointTag(OWNER, target.owner), EndpointTag(MODEL, target.model)]
            )

    def check(self, target: Target) -> Sequence[str]:
        name = _name(target)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or len(name) > LONGEST_NAME:
            legal = f"{LONGEST_NAME} letters, digits, '-' and '_'"
            return [f"Databricks takes at most {legal} for the name of an endpoint, not {plain(name)!r}."]
        try:
            seen = self._read(target)
        except (Transient, Terminal, Conflict) as error:
            return [str(error)]
        if seen is None:
            return []
        if OWNER in seen.tags and not self._ours(seen, target):
            return [_foreign(seen, target)]
        found = []
        level = seen.detail.permission_level
        if level is not None and level.value != "CAN_MANAGE":
            found.append(f"The endpoint {name} may be read, not changed: {level.value} is what this account has.")
        if OWNER not in seen.tags and seen.routes:
            found.append(f"The endpoint {name} serves what a person put there: lend it with `watcher adopt`.")
        return found

    @staticmethod
    def _ours(seen: _Seen, target: Target) -> bool:
        return (seen.tags.get(OWNER), seen.tags.get(MODEL)) == (target.owner, target.model)

    def _mine(self, seen: _Seen, target: Target) -> None:
        if self._ours(seen, target):
            return
        if OWNER in seen.tags:
            raise Terminal(_foreign(seen, target))
        raise Conflict(f"The endpoint {_name(target)} was not adopted.")

    @staticmethod
    def _quiet(seen: _Seen, target: Target) -> None:
        if seen.updating:
            raise Transient(f"The endpoint {_name(target)} is being changed.", AGAIN)

    def _read(self, target: Target) -> _Seen | None:
        with translated(f"read the endpoint {_name(target)}"):
            client = self._workspaces.of(target.settings)
            try:
                return _seen(client.serving_endpoints.get(_name(target)))
            except Exception as error:
                if absent(error):
                    return None
                raise

    def _create(self, release: Release) -> None:
        from databricks.sdk.service.serving import EndpointCoreConfigInput, EndpointTag

        target = release.target
        tags = {OWNER: target.owner, MODEL: target.model, CREATED: "yes", TRAFFIC: f"{NONE}{secrets.token_hex(4)}"}
        config = EndpointCoreConfigInput(
            name=_name(target),
            served_entities=[_entity(release)],
            traffic_config=_traffic_config({release.name: ALL}, [release.name]),
        )
        with translated(f"create the endpoint {_name(target)}"):
            self._workspaces.of(target.settings).serving_endpoints.create(
                _name(target), config=config, tags=[EndpointTag(key, value) for key, value in tags.items()]
            )

    def _update(
        self, target: Target, seen: _Seen, entities: Sequence[ServedEntityInput], routes: Mapping[str, int]
    ) -> None:
        """Write the whole configuration; whoever else changes the endpoint at this moment is waited for."""
        from databricks.sdk import errors

        config = seen.detail.config
        capture = config.auto_capture_config if config is not None else None
        names = [str(entity.name) for entity in entities]
        with translated(f"change the endpoint {_name(target)}"):
            client = self._workspaces.of(target.settings).serving_endpoints
            try:
                client.update_config(
                    _name(target),
                    served_entities=list(entities),
                    traffic_config=_traffic_config(routes, names),
                    auto_capture_config=_capture(capture) if capture is not None else None,
                )
            except (errors.ResourceConflict, errors.BadRequest):
                # The status of a second change is not documented: what is there now tells what was refused.
                again = self._read(target)
                if again is not None and (again.updating or again.token != seen.token):
                    raise Transient(f"The endpoint {_name(target)} is being changed by somebody else.", AGAIN) from None
                raise

    def _delete(self, target: Target, seen: _Seen) -> None:
        if CREATED not in seen.tags:
            raise Conflict(f"The endpoint {_name(target)} is not ours to delete, and cannot be without a release.")
        with translated(f"delete the endpoint {_name(target)}"):
            try:
                self._workspaces.of(target.settings).serving_endpoints.delete(_name(target))
            except Exception as error:
                if not absent(error):
                    raise

    def _invoke(self, release: Release, example: Example) -> exchange.Answer:
        """Past the routes: every served entity has an address of its own."""
        with translated(f"ask {release.name}"):
            config = self._workspaces.of(release.target.settings).config
            path = f"/serving-endpoints/{quote(_name(release.target))}/served-models/{quote(release.name)}/invocations"
            headers = {**config.authenticate(), "Content-Type": example.content_type}
            uri = f"{config.host}{path}"
            return exchange.post(uri, example.body, headers, connect=CALL, within=CALL, most=MOST_ANSWER)

    def _traffic(self, target: Target, seen: _Seen) -> dict[str, Traffic]:
        """Of the last whole minute, and only once all of it lies after the change: the service counts no other way."""
        with translated(f"read the metrics of {_name(target)}"):
            client = self._workspaces.of(target.settings).serving_endpoints
            try:
                exported = client.export_metrics(_name(target))
            except Exception as error:
                if absent(error):
                    return {}
                raise
            if exported.contents is None:
                return {}
            with exported.contents as contents:
                text = contents.read(MOST_ANSWER).decode("utf-8", "replace")
        changed = (seen.detail.last_updated_timestamp or 0) / 1000
        return metrics.of_releases(text, frozenset(seen.weights), since=changed, now=self._now())


def build(_tracking_uri: str | None) -> Deployer:
    """The deployer of `databricks-serving` targets. The workspace fetches artifacts by itself."""
    return DatabricksServing()


def place(kind: str, settings: Mapping[str, Any]) -> str:
    """`databricks-serving:https://adb-1.2.azuredatabricks.net:churn`: one endpoint of one workspace."""
    endpoint = text_of(settings, "endpoint", kind)
    return ":".join([kind, *filter(None, [settings.get("host"), endpoint])])


def _seen(detail: ServingEndpointDetailed) -> _Seen:
    from databricks.sdk.service.serving import EndpointStateConfigUpdate

    update = detail.state.config_update if detail.state is not None else None
    updating = update is EndpointStateConfigUpdate.IN_PROGRESS
    failed = update in {EndpointStateConfigUpdate.UPDATE_FAILED, EndpointStateConfigUpdate.UPDATE_CANCELED}
    config, pending = detail.config, detail.pending_config
    active = {str(entity.name): entity for entity in (config.served_entities if config else None) or ()}
    coming = {str(entity.name): entity for entity in (pending.served_entities if pending else None) or ()}
    routes = _routes(config.traffic_config if config else None)
    return _Seen(
        tags={tag.key: tag.value or "" for tag in detail.tags or ()},
        entities={**coming, **active},
        routes=routes,
        desired=_routes(pending.traffic_config) if pending and updating else routes,
        updating=updating,
        failed=failed,
        pending=frozenset(coming) - frozenset(active),
        detail=detail,
    )


def _routes(traffic: TrafficConfig | None) -> dict[str, int]:
    return {
        str(route.served_entity_name or route.served_model_name): route.traffic_percentage
        for route in (traffic.routes if traffic else None) or ()
        if route.traffic_percentage
    }


def _release(seen: _Seen, name: str, target: Target, traffic: Mapping[str, Traffic], *, ours: bool) -> SeenRelease:
    entity = seen.entities[name]
    version = str(entity.entity_version)
    mine = ours and _key(name) is not None and entity.entity_name == target.model
    return SeenRelease(
        name=name,
        version=int(version) if version.isdecimal() else 0,
        key=(_key(name) or "") if mine else "",
        state=_state(seen, name) or State.FAILED,
        ours=mine,
        detail=_why(entity),
        traffic=traffic.get(name, Traffic(available=name not in seen.weights)),
    )


def _state(seen: _Seen, name: str) -> State | None:
    from databricks.sdk.service.serving import ServedModelStateDeployment as Deployment

    entity = seen.entities.get(name)
    if entity is None:
        return None
    deployment = entity.state.deployment if entity.state is not None else None
    if deployment in {Deployment.DEPLOYMENT_FAILED, Deployment.DEPLOYMENT_ABORTED}:
        return State.FAILED
    if name in seen.pending:
        return State.FAILED if seen.failed else State.STARTING
    return State.READY if deployment is Deployment.DEPLOYMENT_READY else State.STARTING


def _kept(seen: _Seen, name: str, but: str | None = None) -> bool:
    """Whether an entity stays in the next configuration: one that never came up and does not serve would fail it."""
    return name != but and (name not in seen.pending or _state(seen, name) is not State.FAILED)


def _why(entity: ServedEntityOutput) -> str:
    said = entity.state.deployment_state_message if entity.state is not None else None
    return plain(said or "Databricks gave no reason; see the build logs of the endpoint.", 500)


def _entity(release: Release) -> ServedEntityInput:
    from databricks.sdk.service.serving import ServedEntityInput, ServingModelWorkloadType

    settings = release.target.settings
    workload = settings.get("workload_type")
    return ServedEntityInput(
        name=release.name,
        entity_name=release.version.identity.name,
        entity_version=str(release.version.number),
        workload_size=str(settings.get("workload_size") or "Small"),
        workload_type=ServingModelWorkloadType(workload) if workload else None,
        scale_to_zero_enabled=bool(settings.get("scale_to_zero", False)),
        environment_vars=dict(settings["environment_variables"]) if settings.get("environment_variables") else None,
    )


def _input(entity: ServedEntityOutput) -> ServedEntityInput:
    """The entity as it is, every field that can be written: a configuration is replaced as a whole."""
    from databricks.sdk.service.serving import ServedEntityInput

    names = {field.name for field in fields(ServedEntityInput)}
    return ServedEntityInput(**{f.name: getattr(entity, f.name) for f in fields(entity) if f.name in names})


def _capture(output: Any) -> Any:
    from databricks.sdk.service.serving import AutoCaptureConfigInput

    names = {field.name for field in fields(AutoCaptureConfigInput)}
    return AutoCaptureConfigInput(**{f.name: getattr(output, f.name) for f in fields(output) if f.name in names})


def _traffic_config(routes: Mapping[str, int], names: Sequence[str]) -> Any:
    from databricks.sdk.service.serving import Route, TrafficConfig

    return TrafficConfig([Route(routes.get(name, 0), served_model_name=name) for name in names])


def _is(entity: ServedEntityOutput, version: Version) -> bool:
    return (entity.entity_name, entity.entity_version) == (version.identity.name, str(version.number))


def _what(entity: ServedEntityOutput) -> str:
    return plain(f"{entity.entity_name} v{entity.entity_version}")


def _key(name: str) -> str | None:
    """The identity that a release's name carries, None for a name that is not one of ours."""
    found = _KEY.search(name)
    return found.group(1) if found else None


def _foreign(seen: _Seen, target: Target) -> str:
    return plain(
        f"The endpoint {_name(target)} serves the model {seen.tags.get(MODEL)} for the owner {seen.tags.get(OWNER)}.",
        500,
    )


def _name(target: Target) -> str:
    return text_of(target.settings, "endpoint", KIND)
