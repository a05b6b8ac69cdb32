"""What pydantic finds wrong, in the words of this project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from watcher.config.document import MISSING, Document
from watcher.config.errors import did_you_mean
from watcher.config.model import File
from watcher.config.ways import Way
from watcher.text import plain

_PLAIN: Mapping[str, str] = {
    "string_type": "is not text; put it in quotes",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "bool_type": "is neither true nor false",
    "list_type": "is not a list; write [ ... ] or lines that begin with '-'",
    "dict_type": "is not a mapping of keys to values",
    "model_type": "is not a mapping of keys to values",
    "string_too_short": "is empty; write a value",
    "too_short": "is empty; write at least one",
}


def check(document: Document, value: Any, block: type[BaseModel], way: Way = ()) -> BaseModel | None:
    """The value as a block; None where it is not one, with its mistakes noted."""
    try:
        return block.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _note(document, detail, block, way)
        return None


def _note(document: Document, detail: ErrorDetails, block: type[BaseModel], way: Way) -> None:
    inner = detail["loc"]
    whole = (*way, *inner)
    if document.get(*whole) is MISSING:
        return
    document.mistake(whole, _problem(document, detail, block, inner, whole))


_BOUNDS = {
    "greater_than_equal": ("small; at least", "ge"),
    "less_than_equal": ("large; at most", "le"),
    "greater_than": ("small; more than", "gt"),
    "less_than": ("large; less than", "lt"),
}
"""Kind of mistake -> the words for it, and where its bound stands."""


def _problem(document: Document, detail: ErrorDetails, block: type[BaseModel], inner: Way, whole: Way) -> str:
    kind, shown, about = detail["type"], document.shown(whole), detail.get("ctx", {})
    if kind == "extra_forbidden":
        keys = _keys(block, inner[:-1])
        return f"there is no key {plain(repr(inner[-1]), 80)}{did_you_mean(inner[-1], keys)}"
    if kind == "missing":
        return f"the key is missing: {_description(block, inner)}"
    if kind == "literal_error":
        known = [str(choice) for choice in _choices(block, inner)]
        return f"{shown} is not one of {', '.join(known)}{_close(document.get(*whole), known)}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"{shown} is too {words} {about.get(bound)}"
    if kind == "string_pattern_mismatch":
        return f"{shown} does not fit: {_description(block, inner)}"
    if kind == "value_error":
        return f"{shown} {about.get('error')}"
    if kind in ("int_type", "float_type", "bool_type") and _is_quoted(document.get(*whole)):
        return f"{shown} stands in quotes, which make it text; remove them"
    if kind == "string_type" and isinstance(document.get(*whole), dict | list | None):
        what = "is empty" if document.get(*whole) is None else "is not a text"
        return f"{shown} {what}; write one: {_description(block, inner)}"
    if kind == "model_type" and (keys := _keys(block, inner)):
        return f"{shown} {_PLAIN[kind]}; the keys are {', '.join(keys)}"
    return f"{shown} {_PLAIN.get(kind, 'is not what belongs here')}"


def _is_quoted(value: Any) -> bool:
    """Whether a text would be a number, or true or false, without its quotes."""
    return isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?|true|false", value) is not None


def _close(value: Any, known: list[str]) -> str:
    text = did_you_mean(value, known)
    return text if text.startswith("; did") else ""


def _keys(block: type[BaseModel], way: Way) -> list[str]:
    found = _at(block, way)
    return [*found.model_fields] if isinstance(found, type) and issubclass(found, BaseModel) else []


def _description(block: type[BaseModel], way: Way) -> str:
    parent = _at(block, way[:-1])
    if isinstance(parent, type) and issubclass(parent, BaseModel) and str(way[-1]) in parent.model_fields:
        text = parent.model_fields[str(way[-1])].description or ""
        return text[:1].lower() + text[1:].rstrip(".")
    return "see the example file"


def _choices(block: type[BaseModel], way: Way) -> tuple[Any, ...]:
    found = _at(block, way)
    return get_args(found) if found is not None else ()


def _at(block: type[BaseModel], way: Way) -> Any:
    """The type that stands at `way` in a block."""
    found: Any = block
    for part in way:
        if isinstance(found, type) and issubclass(found, BaseModel):
            field = found.model_fields.get(str(part))
            found = _bare(field.annotation) if field else None
        elif get_origin(found) in (list, dict):
            found = _bare(get_args(found)[-1])
        else:
            return None
    return found


def _bare(annotation: Any) -> Any:
    """Without `Annotated` and without `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    rest = [each for each in get_args(annotation) if each is not type(None)]
    if type(None) in get_args(annotation) and len(rest) == 1:
        return _bare(rest[0])
    return annotation


def whole_file(document: Document) -> File | None:
    """The document as a file, or its mistakes noted."""
    found = check(document, document.value, File)
    return found if isinstance(found, File) else None
