"""What an evaluation left, as values."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from watcher.evaluations import Comparison, Evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import TypeAdapter


@cache
def _shape() -> TypeAdapter[Comparison]:
    from pydantic import TypeAdapter

    return TypeAdapter(Comparison)


def comparison_of(about: Mapping[str, Any], rules: Evaluate) -> Comparison:
    """What was written down, as values. Raises ValueError for what no evaluation of these metrics leaves."""
    found = _shape().validate_python(about)
    numbers = [found.level, found.seconds, found.changed, found.overlap]
    for score in found.scores:
        numbers += [score.challenger, score.champion, score.gain, score.low, score.high]
    if not all(number is None or math.isfinite(number) for number in numbers):
        raise ValueError("numbers of a comparison are finite")
    if found.rows < 1 or found.look < 0 or any(found.of(metric) is None for metric in rules.metrics):
        raise ValueError("a comparison measures every metric, on rows")
    return found
