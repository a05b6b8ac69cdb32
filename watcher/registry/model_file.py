"""What the files beside a model say: signature, flavours, environment, example. Hostile until it is checked."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from watcher.registry.names import storable
from watcher.values import Column, Example, Signature

_DEEPEST = 40
_MOST_EVENTS = 100_000
_MOST_COLUMNS = 20_000
_LONGEST_NAME = 1_000
_REMEMBERED_BYTES = 16_384
LARGEST_EXAMPLE = 1_000_000
"""Bytes of an example that we would send to a release."""

_PROTOCOL = ("dataframe_split", "dataframe_records", "instances", "inputs")
_PYTHON = re.compile(r"[0-9]{1,2}(\.[0-9]{1,3}){1,2}")


class Malformed(ValueError):
    """A file does not say what it should; the message says which and in what, in plain words."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The parts of an MLmodel file that the rules look at."""

    flavors: tuple[str, ...]
    signature: Signature | None
    python: str | None
    mlflow: str | None
    model_id: str | None
    example_kind: str | None


def model_file(content: bytes) -> ModelFile:
    """Read an MLmodel file. Raises `Malformed`.

    The same small files come again and again, the champion's at every candidate; YAML takes milliseconds.
    """
    return _remembered(content) if len(content) <= _REMEMBERED_BYTES else _model_file(content)


def _model_file(content: bytes) -> ModelFile:
    body = _mapping(_yaml("MLmodel", content), "MLmodel")
    flavors = _mapping(body.get("flavors"), "`flavors` of MLmodel")
    pyfunc = flavors.get("python_function")
    info = body.get("saved_input_example_info")
    return ModelFile(
        flavors=tuple(sorted(_text(key, "a flavour's name") for key in flavors)),
        signature=_signature(body.get("signature")),
        python=_python(pyfunc.get("python_version")) if isinstance(pyfunc, dict) else None,
        mlflow=_short(body.get("mlflow_version")),
        model_id=_short(body.get("model_id")),
        example_kind=_short(info.get("type")) if isinstance(info, dict) else None,
    )


_remembered = functools.lru_cache(maxsize=256)(_model_file)


def python_version(content: bytes) -> str | None:
    """`python:` of a python_env.yaml, None where it names no version. Raises `Malformed`; remembered, as MLmodel is."""
    return _python_remembered(content) if len(content) <= _REMEMBERED_BYTES else _python_version(content)


def _python_version(content: bytes) -> str | None:
    return _python(_mapping(_yaml("python_env.yaml", content), "python_env.yaml").get("python"))


_python_remembered = functools.lru_cache(maxsize=256)(_python_version)


def requirements(content: bytes) -> tuple[str, ...]:
    """The lines of a requirements.txt that name a package. Raises `Malformed`."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Malformed("requirements.txt is not UTF-8 text") from None
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return tuple(line for line in lines if line[:1].isalnum() and len(line) <= _LONGEST_NAME)


def example(content: bytes, kind: str | None) -> Example | None:
    """The example as a request body, None where it is not one and cannot be made one."""
    if len(content) > LARGEST_EXAMPLE:
        return None
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    if not any(key in body for key in _PROTOCOL):
        if kind != "dataframe" or not {"columns", "data"} <= body.keys():
            return None
        body = {"dataframe_split": body}
        content = json.dumps(body).encode()
    return Example(content, rows=_rows(body))


def _rows(body: Mapping[str, Any]) -> int | None:
    key = next(key for key in _PROTOCOL if key in body)
    rows = body[key]
    if key == "dataframe_split":
        rows = rows.get("data") if isinstance(rows, dict) else None
    elif isinstance(rows, dict):
        rows = next(iter(rows.values()), None)
    return len(rows) if isinstance(rows, list) else None


def _yaml(file: str, content: bytes) -> object:
    """Plain values from YAML, without what makes a small file large: merges, and nesting without end."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = content.decode()
        why = _excess(YAML(typ="safe", pure=True).parse(text))
        found = None if why else YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        raise Malformed(f"{file} is not plain YAML") from None
    if why:
        raise Malformed(f"{file} {why}")
    return found


def _excess(events: Iterable[object]) -> str | None:
    """What would make the values of these events larger than their text, None where nothing does."""
    from ruamel.yaml import events as kinds

    depth = 0
    for count, event in enumerate(events):
        if isinstance(event, kinds.CollectionStartEvent):
            depth += 1
        elif isinstance(event, kinds.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, kinds.ScalarEvent) and event.value == "<<":
            return "uses merge keys"
        if depth > _DEEPEST or count > _MOST_EVENTS:
            return "is nested too deeply or has too many entries"
    return None


def _signature(found: object) -> Signature | None:
    if found is None:
        return None
    parts = _mapping(found, "`signature` of MLmodel")
    inputs = _columns(parts.get("inputs"), "inputs")
    outputs = _columns(parts.get("outputs"), "outputs")
    params = _columns(parts.get("params"), "params") or ()
    if inputs is None and outputs is None and not params:
        return None
    return Signature(inputs=inputs or (), outputs=outputs, params=params)


def _columns(text: object, which: str) -> tuple[Column, ...] | None:
    if text is None:
        return None
    where = f"`{which}` of the signature"
    try:
        specs = json.loads(_text(text, where, longest=None))
    except (ValueError, RecursionError):
        raise Malformed(f"{where} is not JSON") from None
    if not isinstance(specs, list) or len(specs) > _MOST_COLUMNS:
        raise Malformed(f"{where} is not a list of at most {_MOST_COLUMNS} fields")
    return tuple(_column(_mapping(spec, f"a field in {where}"), where, is_param=which == "params") for spec in specs)


def _column(spec: Mapping[str, Any], where: str, *, is_param: bool) -> Column:
    name = spec.get("name")
    required = spec.get("default") is None if is_param else spec.get("required", not spec.get("optional", False))
    if not isinstance(required, bool):
        raise Malformed(f"`required` of a field in {where} is neither true nor false")
    kind = _type(spec, where)
    shape = spec.get("shape")
    if is_param and shape is not None:
        kind += _shape(shape, where)
    return Column(None if name is None else _text(name, f"a name in {where}"), kind, required)


def _type(spec: Mapping[str, Any], where: str) -> str:
    kind = _text(spec.get("type"), f"a type in {where}")
    if kind == "tensor":
        tensor = _mapping(spec.get("tensor-spec"), f"a tensor in {where}")
        return f"tensor({_text(tensor.get('dtype'), f'a dtype in {where}')},{_shape(tensor.get('shape'), where)})"
    nested = {k: v for k, v in spec.items() if k not in {"name", "required", "optional", "default", "shape"}}
    if len(nested) == 1:
        return kind
    try:
        return json.dumps(nested, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise Malformed(f"a type in {where} is nested too deeply") from None


def _shape(found: object, where: str) -> str:
    if not isinstance(found, list) or not all(type(size) is int for size in found):
        raise Malformed(f"a shape in {where} is not a list of whole numbers")
    return f"({','.join(map(str, found))}{',' if len(found) == 1 else ''})"


def _mapping(found: object, what: str) -> Mapping[Any, Any]:
    if not isinstance(found, dict):
        raise Malformed(f"{what} is not a mapping")
    return found


def _text(found: object, what: str, longest: int | None = _LONGEST_NAME) -> str:
    if not isinstance(found, str) or (longest is not None and len(found) > longest):
        raise Malformed(f"{what} is not a text" if longest is None else f"{what} is not a short text")
    if not storable(found):
        raise Malformed(f"{what} is not valid Unicode")
    return found


def _short(found: object) -> str | None:
    return found if isinstance(found, str) and 0 < len(found) <= _LONGEST_NAME else None


def _python(found: object) -> str | None:
    return found if isinstance(found, str) and _PYTHON.fullmatch(found) else None
