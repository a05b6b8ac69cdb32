"""Where the marks of the two drawings stand. Pure; the templates draw them, each beside a table that says the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watcher.judge.numbers import number

LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 40
"""Pixels around the field of a chart; on the left more where its numbers are long."""
DIGIT, GAP = 7.5, 10
"""Pixels of a digit, and between a number and the field."""
APART = 26
"""Pixels that the number of a version needs beneath the chart."""
LABELLED = 26
"""Pixels that a stretch of a strip needs to have its version written on it."""
THINNEST = 2.0
ROOM = 0.12
"""Share of the field that stays free above the highest and below the lowest mark."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One version in a chart; `labelled`: its number stands beneath."""

    x: float
    y: float
    version: int
    outcome: str
    labelled: bool
    measured: bool
    """False where it has no number: it then stands beneath the field."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line with its number."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A metric by version, in pixels."""

    width: int
    height: int
    marks: tuple[Mark, ...]
    ticks: tuple[Rule, ...]
    champion: Rule | None
    bounds: tuple[Rule, ...]
    """Floor and ceiling of the policy, as far as they lie within the field."""
    left: int = LEFT
    right: int = RIGHT
    base: int = 0
    """Where the numbers of the versions stand."""


def chart(versions: Sequence[Mapping[str, Any]], primary: Mapping[str, Any], width: int, height: int) -> Chart | None:
    """The newest of `versions` (newest first) that fit, the oldest on the left; None where none has a number."""
    most = (width - LEFT - RIGHT) // 14
    champion = [entry for entry in versions[most - 1 :] if entry["outcome"] == "champion"]
    shown = [*versions[: most - len(champion)], *champion][::-1]
    values = [entry["value"] for entry in shown if entry["value"] is not None]
    if not values:
        return None
    low, high = min(values), max(values)
    # A single value, or equal ones, still need a field around them.
    margin = (high - low) * ROOM or abs(high) * ROOM or 1.0
    low, high = low - margin, high + margin
    floor = height - BOTTOM

    def up(value: float) -> float:
        return float(round(TOP + (high - value) / (high - low) * (floor - TOP - 14), 1))

    ticks = _ticks(low, high)
    left = max(LEFT, GAP + math.ceil(DIGIT * max(len(text) for _, text in ticks)))
    step = (width - left - RIGHT) / len(shown)
    every = max(math.ceil(APART / step), 1)
    marks = tuple(
        Mark(
            x=round(left + step * (index + 0.5), 1),
            y=up(entry["value"]) if entry["value"] is not None else floor - 4,
            version=entry["version"],
            outcome=str(entry["outcome"]),
            labelled=(len(shown) - 1 - index) % every == 0,
            measured=entry["value"] is not None,
        )
        for index, entry in enumerate(shown)
    )
    reigning = next((e["value"] for e in shown if e["outcome"] == "champion" and e["value"] is not None), None)
    bounds = [(name, primary[name]) for name in ("floor", "ceiling") if primary.get(name) is not None]
    return Chart(
        width,
        height,
        marks,
        tuple(Rule(up(value), text) for value, text in ticks),
        Rule(up(reigning), number(reigning)) if reigning is not None else None,
        tuple(Rule(up(value), f"{name} {number(value)}") for name, value in bounds if low < value < high),
        left=left,
        base=height - 14,
    )


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Three to six round numbers between the two, each written with the digits that its step needs."""
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * nice for nice in (1, 2, 5, 10) if size * nice >= rough)
    digits = max(-math.floor(math.log10(step)), 0)
    first = math.ceil(low / step)
    ticks = [index * step for index in range(first, first + 7) if index * step < high]
    return [(value, f"{value:.{digits}f}" if abs(value) < 1e6 and digits < 8 else f"{value:.4g}") for value in ticks]  # noqa: PLR2004 longer ones do not fit beside the field


@dataclass(frozen=True, slots=True)
class Stretch:
    """One reign on a strip of time."""

    x: float
    width: float
    version: int
    now: bool
    labelled: bool


def strip(reigns: Sequence[Mapping[str, Any]], now: float, width: int) -> tuple[Stretch, ...]:
    """The reigns (newest first) side by side, the oldest on the left, each as long as it lasted."""
    if not reigns:
        return ()
    since = reigns[-1]["since"]
    whole = max(now - since, 1.0)
    found = []
    for reign in reversed(reigns):
        left = (reign["since"] - since) / whole * width
        right = ((reign["until"] or now) - since) / whole * width
        wide = max(right - left, THINNEST)
        left = min(left, width - wide)
        found.append(
            Stretch(round(left, 1), round(wide, 1), reign["version"], reign["until"] is None, wide >= LABELLED)
        )
    return tuple(found)
