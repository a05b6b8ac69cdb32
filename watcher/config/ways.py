"""Types that several files of this package share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from watcher.errors import UserError
from watcher.values import Kind

Way = tuple[str | int, ...]
"""Where a value stands in the file: keys and positions from the top."""

Shapes = Mapping[str, Kind] | Callable[[str], Kind]
"""From a target's kind to its shape; a function raises UserError for a kind that is unknown."""

PlaceOf = Callable[[str, Mapping[str, Any]], str]
"""From a target's kind and settings to what makes two targets the same place."""


def shape_of(shapes: Shapes, kind: str) -> Kind | None:
    """The shape of a kind, None where it is unknown."""
    if isinstance(shapes, Mapping):
        return shapes.get(kind)
    try:
        return shapes(kind)
    except UserError:
        return None


def written(way: Way) -> str:
    """`models[0].policy`."""
    text = ""
    for part in way:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
