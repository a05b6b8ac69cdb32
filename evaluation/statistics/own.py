"""Metrics of installed packages, found by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from evaluation.statistics.values import Metric, NotComparable

GROUP = "watcher.metrics"
"""Entry points of this group say where a `Metric` is; each is known by its entry point's name."""


def own(name: str) -> Metric | None:
    """The metric of this name, None where no package has it. Raises NotComparable where it cannot be used."""
    point = points().get(name)
    if point is None:
        return None
    try:
        found = point.load()
    except Exception as error:  # another's code: it may raise anything, and it is told
        raise NotComparable(f"The metric {name!r} of {point.value} cannot be loaded: {error}") from error
    if not isinstance(found, Metric):
        kind = type(found).__name__
        raise NotComparable(
            f"The metric {name!r} of {point.value} is a {kind}: make it an evaluation.statistics.Metric."
        )
    return replace(found, name=name)


@cache
def points() -> Mapping[str, EntryPoint]:
    """By name. Looking through all packages takes long, and they stay what they are."""
    return {point.name: point for point in entry_points(group=GROUP)}
