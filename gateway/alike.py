"""Whether two answers to the same request say the same."""

from __future__ import annotations

import json
import math
from typing import Any

TOLERANCE = 1e-6
"""Share by which two numbers may differ and be the same: more than rounding to single precision does."""


def alike(one: bytes, other: bytes) -> bool | None:
    """True where they are the same byte by byte, or JSON whose numbers are close; None where nobody can say."""
    if one == other:
        return True
    try:
        pairs: list[tuple[Any, Any]] = [(json.loads(one), json.loads(other))]
    except (ValueError, RecursionError):
        return None
    while pairs:
        left, right = pairs.pop()
        if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            pairs.extend(zip(left, right, strict=True))
        elif isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
            pairs.extend((left[key], right[key]) for key in left)
        elif not _same(left, right):
            return False
    return True


def _same(left: Any, right: Any) -> bool:
    if type(left) in (int, float) and type(right) in (int, float):
        return _close(left, right)
    return type(left) is type(right) and bool(left == right)


def _close(left: float, right: float) -> bool:
    if left == right:
        return True
    try:
        return math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=1e-12) or (math.isnan(left) and math.isnan(right))
    except OverflowError:  # a whole number that is no double
        return False
