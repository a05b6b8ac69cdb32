"""JSON Schema of the user's file. `python -m watcher.config.json_schema` prints it as schema/watch.schema.json."""

from __future__ import annotations

import json
import sys
from typing import Any

from watcher.config.kinds import REQUIRED, SHAPES
from watcher.config.model import File
from watcher.config.targets import TARGETS


def schema() -> dict[str, Any]:
    """The schema, with what each built-in kind of target needs."""
    made = File.model_json_schema()
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = made["$defs"]
    for block in TARGETS.values():
        definitions[block.__name__] = block.model_json_schema()
    definitions["Target"]["properties"]["kind"]["examples"] = [*SHAPES]
    definitions["Target"]["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": kind}}},
            "then": {"$ref": f"#/$defs/{TARGETS[kind].__name__}"} if kind in TARGETS else {"required": [*needed]},
        }
        for kind, needed in REQUIRED.items()
    ]
    definitions["Model"]["oneOf"] = [{"required": ["name"]}, {"required": ["match"]}]
    described = {"description": definitions["Model"]["properties"]["targets"]["description"]}
    definitions["Model"]["if"] = {
        "properties": {"mode": {"const": "advise", "description": "Judge only."}},
        "required": ["mode"],
    }
    definitions["Model"]["else"] = {"required": ["targets"], "properties": {"targets": {"minItems": 1, **described}}}
    return made


def text() -> str:
    """The schema as the file that is published."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
