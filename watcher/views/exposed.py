"""What one version answered: on which target, at which share, when, how often and how often badly. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from watcher.history import Live, timeline
from watcher.ports import Line


@dataclass(frozen=True, slots=True)
class Exposed:
    """One stretch of time in which a version had one share of one target's traffic."""

    target: str
    percent: int
    since: float
    until: float | None
    """None: it still has it."""
    requests: int | None
    """As counted just before the stretch ended, so what was under way then is missing; None where nobody counted."""
    errors: int | None


def exposed(lines: Iterable[Line], model: str, version: int) -> tuple[Exposed, ...]:
    """The stretches of a version, oldest first, from the `live` lines of its model in any order of time."""
    spans: dict[str, list[Live]] = {}
    for span in timeline(lines, model):
        spans.setdefault(span.target, []).append(span)
    found = [
        Exposed(target, share, span.since, span.until, *_answered(after, version))
        for target, of_target in spans.items()
        for span, after in zip(of_target, [*of_target[1:], None], strict=True)
        if (share := span.weights.get(str(version), 0)) > 0
    ]
    return tuple(sorted(found, key=lambda stretch: stretch.since))


def _answered(after: Live | None, version: int) -> tuple[int | None, int | None]:
    told: Any = (after.line.data or {}).get("answered") if after else None
    counts = told.get(str(version)) if isinstance(told, Mapping) else None
    if not isinstance(counts, Mapping):
        return None, None
    requests, errors = counts.get("requests"), counts.get("errors")
    return requests if isinstance(requests, int) else None, errors if isinstance(errors, int) else None
