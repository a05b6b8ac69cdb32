"""Durations, sizes and gains as people write them. Each raises ValueError with what to write."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
MOST_BYTES = 2**53
LONGEST = 3650 * 86_400.0
DURATION = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
SIZE = r"^[0-9]+(\.[0-9]+)?[kmgt]$"
SHARE = r"^[0-9]+(\.[0-9]+)?%$"


class Amount(NamedTuple):
    """A difference of a metric: absolute, or a share of the champion's value."""

    value: float
    relative: bool


def seconds(value: object) -> float:
    """`15m` -> 900.0."""
    found = re.fullmatch(DURATION, value) if isinstance(value, str) else None
    if not isinstance(value, str) or not found:
        raise ValueError("is not a duration; write a number and a unit, such as 500ms, 2s, 15m, 24h or 1d")
    unit = found[2]
    total = float(value.removesuffix(unit)) * _SECONDS[unit]
    if total > LONGEST:
        raise ValueError("is longer than ten years")
    return total


def positive_seconds(value: object) -> float:
    """As `seconds`, and more than none."""
    total = seconds(value)
    if not total:
        raise ValueError("must be longer than zero")
    return total


def size(value: object) -> int:
    """`512m` -> 536870912 bytes."""
    if not isinstance(value, str) or not re.fullmatch(SIZE, value):
        raise ValueError("is not a size; write a number and a unit, such as 512m or 1g")
    total = float(value[:-1]) * _BYTES[value[-1]]
    if not 1 <= total < MOST_BYTES:
        raise ValueError("is no possible size")
    return int(total)


def amount(value: object) -> Amount:
    """`0.002` -> absolute; `1%` -> a share of 0.01."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return Amount(float(value), relative=False)
    if isinstance(value, str) and re.fullmatch(SHARE, value):
        return Amount(float(value[:-1]) / 100, relative=True)
    raise ValueError('is not a difference; write a number from 0 up, such as 0.002, or a share such as "1%"')
