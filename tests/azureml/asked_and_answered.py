"""Every request and reply held against the SDK's own generated models, and against the published description.

The description is data that is not part of the project; it is looked for in `shared/azureml-swagger` above it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.azureml.cloud import Answer, Asked

Json = dict[str, Any]
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
_MODELS = {
    r"/onlineEndpoints/[^/]+": "OnlineEndpoint",
    r"/onlineEndpoints/[^/]+/deployments/[^/]+": "OnlineDeployment",
    r"/batchEndpoints/[^/]+": "BatchEndpoint",
    r"/batchEndpoints/[^/]+/deployments/[^/]+": "BatchDeployment",
    r"/models/[^/]+/versions/[^/]+": "ModelVersion",
    r"/environments/[^/]+/versions/[^/]+": "EnvironmentVersion",
    r"/codes/[^/]+/versions/[^/]+": "CodeVersion",
}
_BY_TYPE = {"Managed": "ManagedOnlineDeployment", "Kubernetes": "KubernetesOnlineDeployment"}
# The SDK itself sends what the description spells otherwise.
_KNOWN = re.compile(r"authMode: 'aadToken' is none of")
seen: set[str] = set()
"""Operations of the description that were held against it."""


def description() -> Path | None:
    """Folder of the published description, None where it is not there."""
    for above in Path(__file__).resolve().parents:
        found = above / "shared" / "azureml-swagger" / "specification"
        if found.is_dir():
            return found
    return None


def check(asked: Asked, answer: Answer) -> None:
    """Raise AssertionError where a body is not what the SDK or the description declares."""
    path = asked.path.partition("/workspaces/")[2].partition("/")[2]
    if asked.method == "PUT":
        for pattern, model in _MODELS.items():
            if re.fullmatch(pattern.removeprefix("/"), path):
                wrong = [*_unknown(model, asked.json)]
                assert not wrong, f"{asked}: {wrong}"
    if description() is not None and asked.path.startswith("/subscriptions/"):
        wrong = [each for each in _against_description(asked, answer) if not _KNOWN.search(each)]
        assert not wrong, f"{asked}: {wrong}"


def _unknown(model: str, body: Json, way: str = "") -> Iterator[str]:
    """Keys that the SDK's model does not have."""
    from azure.ai.ml._restclient.arm_ml_service import models

    kind = type(getattr(models, model)({}))
    fields = {field._rest_name for field in kind._attr_to_rest_field.values()}  # noqa: SLF001 - the SDK's own
    for key, value in body.items():
        if key not in fields:
            yield f"{way}{key} is unknown to {model}"
        elif key == "properties" and isinstance(value, dict) and not way:
            compute = str(value.get("endpointComputeType", ""))
            inner = _BY_TYPE.get(compute) or f"{model}Properties"
            yield from _unknown(inner, value, "properties.")


def _against_description(asked: Asked, answer: Answer) -> Iterator[str]:
    version, method = asked.query.get("api-version", ""), asked.method.lower()
    for pattern, file, path in _paths(version):
        if not pattern.fullmatch(asked.path) or method not in _file(file)["paths"][path]:
            continue
        operation = _file(file)["paths"][path][method]
        seen.add(f"{operation['operationId']} {version}")
        if any(parameter.get("in") == "body" for parameter in operation["parameters"]):
            yield from _wrong_request(file, path, method, asked.body)
        if answer.status < 400:
            yield from _wrong_reply(file, path, method, str(answer.status), answer.body)


# Looks at what is under way are alike by the hundred.
@functools.lru_cache(4096)
def _wrong_request(file: Path, path: str, method: str, body: bytes) -> tuple[str, ...]:
    operation = _file(file)["paths"][path][method]
    (schema,) = (each["schema"] for each in operation["parameters"] if each.get("in") == "body")
    return (*_faults(file, schema, json.loads(body or b"{}"), "request"),)


@functools.lru_cache(4096)
def _wrong_reply(file: Path, path: str, method: str, status: str, body: bytes) -> tuple[str, ...]:
    replies = _file(file)["paths"][path][method]["responses"]
    if status not in replies:
        return (f"it never answers {status}",)
    if "schema" not in replies[status]:
        return ()
    return (*_faults(file, replies[status]["schema"], json.loads(body), "answer"),)


@functools.cache
def _paths(version: str) -> list[tuple[re.Pattern[str], Path, str]]:
    """Of each path that the description has in this version: its pattern, the file, and the path as written there."""
    folder = description()
    found = []
    for file in folder.rglob(f"{version}/mfe.json") if folder is not None and version else ():
        for path in _file(file)["paths"]:
            pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path))
            found.append((re.compile(pattern, re.IGNORECASE), file, path))
    return found


@functools.cache
def _file(path: Path) -> Json:
    return dict(json.loads(path.read_text("utf-8")))


def _resolved(file: Path, schema: Json) -> tuple[Path, Json]:
    while "$ref" in schema:
        where, _, name = schema["$ref"].partition("#")
        file = (file.parent / where).resolve() if where else file
        schema = _file(file)["definitions"][name.rpartition("/")[2]]
    return file, schema


def _properties(file: Path, schema: Json, value: Any) -> tuple[dict[str, tuple[Path, Json]], set[str]]:
    """Everything that an object may have, and what it must."""
    file, schema = _resolved(file, schema)
    own = {key: (file, each) for key, each in schema.get("properties", {}).items()}
    needed = set(schema.get("required", ()))
    for part in schema.get("allOf", ()):
        more, must = _properties(file, part, value)
        own, needed = {**more, **own}, needed | must
    discriminator = schema.get("discriminator")
    if discriminator and isinstance(value, dict):
        for each in _file(file)["definitions"].values():
            # Inputs and outputs of jobs share their values: only what derives from this very schema is meant.
            derived = any(_resolved(file, part)[1] is schema for part in each.get("allOf", ()))
            if derived and each.get("x-ms-discriminator-value") == value.get(discriminator):
                for part in (each, *each.get("allOf", ())):
                    _, found = _resolved(file, part)
                    own |= {key: (file, inner) for key, inner in found.get("properties", {}).items()}
    return own, needed


def _faults(file: Path, schema: Json, value: Any, way: str) -> Iterator[str]:
    nullable = schema.get("x-nullable")
    file, schema = _resolved(file, schema)
    if value is None:
        if not (nullable or schema.get("x-nullable")):
            yield f"{way}: null"
        return
    kind = schema.get("type")
    if kind and not isinstance(value, _TYPES[kind]):
        yield f"{way}: {value!r} is not of type {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{way}: {value!r} is none of {schema['enum']}"
    for index, each in enumerate(value if isinstance(value, list) else ()):
        yield from _faults(file, schema.get("items", {}), each, f"{way}[{index}]")
    if isinstance(value, dict):
        yield from _faults_of_object(file, schema, value, way)


def _faults_of_object(file: Path, schema: Json, value: Json, way: str) -> Iterator[str]:
    own, needed = _properties(file, schema, value)
    yield from (f"{way}.{key} is missing" for key in needed - value.keys())
    more = schema.get("additionalProperties")
    for key, each in value.items():
        if key in own:
            yield from _faults(*own[key], each, f"{way}.{key}")
        elif isinstance(more, dict):
            yield from _faults(file, more, each, f"{way}.{key}")
        elif own:
            yield f"{way}.{key} is unknown"
