"""Values as JSON: one line of ASCII, and nothing in it that JSON does not have."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any


def to_json(value: Any) -> str:
    """One line of ASCII: other characters are escaped, whatever the terminal would make of them."""
    return json.dumps(jsonable(value), ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f")


def jsonable(value: Any) -> Any:
    """Dataclasses, enums and mappings as plain JSON values; a number that is none becomes null."""
    match value:
        case Enum():
            return value.value
        case float() if not math.isfinite(value):
            return None
        case bool() | int() | float() | str() | None:
            return value
        case Mapping():
            return {str(key): jsonable(item) for key, item in value.items()}
        case _ if is_dataclass(value) and not isinstance(value, type):
            return jsonable(asdict(value))
    return [jsonable(item) for item in value] if isinstance(value, list | tuple | set | frozenset) else str(value)
