"""Pages of docs/reference that are made from the code. `python -m tests.docs.pages` writes them again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from watcher.config import schema, units
from watcher.config.targets import TARGETS
from watcher.history import EVENTS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
AGAIN = "Made by `python -m tests.docs.pages`."
UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
Schema = Mapping[str, Any]


def settings_page() -> str:
    """Every key of the settings file, section by section."""
    whole = schema()
    sections = [*_sections(whole, whole, "")]
    for block in dict.fromkeys(TARGETS.values()):
        told = whole["$defs"][block.__name__]
        own = {key: given for key, given in told["properties"].items() if key not in ("name", "kind")}
        kinds = " or ".join(f"`{kind}`" for kind, taken in TARGETS.items() if taken is block)
        sections.append((f"A target of kind {kinds}", {**told, "properties": own}))
    lines = [
        "# Settings",
        "",
        f"Every key of `watch.yaml`. {AGAIN} An unknown key is a mistake.",
        "`watcher schema` prints the JSON Schema; `schema/watch.schema.json` is the same, for editors.",
        "",
        "`${NAME}` in a value comes from the environment, `${NAME:-default}` with a default. `{model}` and",
        "`{model_slug}` in a target stand for the model's name. Relative paths start at the folder of the file. A",
        "duration is a number with a unit: `500ms`, `2s`, `15m`, `24h`, `1d`. A size: `512m`, `1g`. Keys without a",
        "default must be there.",
    ]
    for title, section in sections:
        needed = section.get("required", ())
        lines += ["", f"## {title}", "", section.get("description", ""), ""]
        lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
        for key, given in section["properties"].items():
            default = "" if key in needed else _default(whole, given)
            told = given.get("description") or _resolved(whole, given).get("description", "")
            lines.append(f"| `{key}` | {_value(whole, given)} | {default} | {told} |")
    return "\n".join(lines) + "\n"


def events_page() -> str:
    """Every event of the history with the shape of its data."""
    lines = [
        "# Events of the history",
        "",
        f"The closed list. {AGAIN}",
        "Every line has `at` (seconds, UTC), `model` and `event`; most have `target`, `version` or a",
        "[`reason`](../reasons.md). In braces: the keys that its `data` may have.",
        "",
        "| event | meaning |",
        "|---|---|",
    ]
    for event, told in EVENTS.items():
        sentence, brace, data = told.partition("{")
        shape = f"`{brace}{data.rstrip('.')}`" if brace else ""
        lines.append(f"| `{event}` | {(sentence + shape).strip().replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


PAGES = {"settings.md": settings_page, "events.md": events_page}


def _sections(whole: Schema, section: Schema, way: str) -> Iterator[tuple[str, Schema]]:
    """Each mapping of the file with its way, the outermost first."""
    yield f"`{way}`" if way else "The file", section
    for key, given in section["properties"].items():
        inner = _resolved(whole, given)
        more = f"{way}.{key}" if way else key
        if "properties" in inner:
            yield from _sections(whole, inner, more)
        elif isinstance(inner.get("additionalProperties"), dict) and "$ref" in inner["additionalProperties"]:
            yield from _sections(whole, _resolved(whole, inner["additionalProperties"]), f"{more}.NAME")
        elif "$ref" in inner.get("items", {}):
            yield from _sections(whole, _resolved(whole, inner["items"]), f"{more}[]")


def _resolved(whole: Schema, given: Schema) -> Schema:
    """What a reference stands for, also where it may be left out."""
    for part in (given, *given.get("anyOf", ())):
        if "$ref" in part:
            found: Schema = whole["$defs"][part["$ref"].rpartition("/")[2]]
            return found
    return given


def _value(whole: Schema, given: Schema) -> str:
    """What may be written there, in a few words."""
    inner = _resolved(whole, given)
    if "const" in inner:
        return f"`{inner['const']}`"
    if "enum" in inner:
        return ", ".join(f"`{each}`" for each in inner["enum"])
    kinds = [_kind(whole, part) for part in inner.get("anyOf", (inner,)) if not _is_reference(part)]
    return " or ".join(kind for kind in dict.fromkeys(kinds) if kind) or "`${NAME}`"


def _kind(whole: Schema, part: Schema) -> str:
    if "enum" in part:
        return ", ".join(f"`{each}`" for each in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    named = {units.DURATION: "duration", units.SIZE: "size", units.SHARE: "share such as `1%`"}
    if part.get("pattern") in named:
        return named[part["pattern"]]
    kind = part.get("type", "")
    if kind == "array":
        inner = _resolved(whole, part["items"])
        return "list of mappings" if "properties" in inner else f"list, each {_value(whole, inner)}"
    if kind == "object":
        values = part.get("additionalProperties")
        return f"name: {_value(whole, values)}" if isinstance(values, dict) else "mapping"
    bounds = " to ".join(f"{part[name]:g}" for name in ("minimum", "maximum") if name in part)
    bounds = f" from {bounds}" if bounds else ""
    words = {"string": "text", "boolean": "`true`, `false`", "integer": "whole number", "number": "number", "null": ""}
    return words.get(kind, "") + bounds


def _is_reference(part: Schema) -> bool:
    return "pattern" in part and part["pattern"].startswith(r"^\$")


def _default(whole: Schema, given: Schema) -> str:
    default = given.get("default")
    if default is None:
        return "none"
    if "properties" in _resolved(whole, given):
        return "see below"
    parts = (given, *given.get("anyOf", ()))
    if any(part.get("pattern") == units.DURATION for part in parts):
        return f"`{_duration(default)}`"
    if isinstance(default, list) and len(default) == len(units.Amount._fields) and isinstance(default[1], bool):
        default = default[0]
    shown = json.dumps(default) if not isinstance(default, str) else default
    return {"[]": "empty", "{}": "empty"}.get(shown, f"`{shown}`")


def _duration(seconds: float) -> str:
    for unit, size in UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


if __name__ == "__main__":
    for name, made in PAGES.items():
        (REFERENCE / name).write_text(made(), encoding="utf-8")
