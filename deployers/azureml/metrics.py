"""What each deployment of an online endpoint answered, from Azure Monitor: one figure a minute, some minutes late."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deployers.azureml.azure import METRICS, Azure, Json
from watcher.errors import WatcherError
from watcher.values import Traffic

MINUTE = 60
STALE = 600.0
"""Seconds after which the newest minute that was told is too old to say anything of now."""
LONGEST = 24 * 3600.0
"""Seconds after a write of the traffic for which figures are asked at all: no rollout bakes longer."""
REQUESTS, LATENCY = "RequestsPerMinute", "RequestLatency_P95"
_GOOD = "2xx"


@dataclass(frozen=True)
class Figures:
    """Deployment -> traffic since the weights were written."""

    of: Mapping[str, Traffic] = field(default_factory=dict)
    told: bool = False
    """Whether Azure Monitor said anything at all; a deployment that it does not name then answered nothing."""

    def get(self, name: str, otherwise: Traffic) -> Traffic:
        return self.of.get(name, otherwise)


class Kept:
    """Figures change once a minute: so often is asked, whoever looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[tuple[float, int], Figures]] = {}

    def of(self, azure: Azure, endpoint: str, since: float | None, now: float) -> Figures:
        """Figures from the first whole minute after `since`; none told where the provider cannot be asked."""
        if since is None or now - since > LONGEST:
            return Figures()
        key, asked = azure.where.online(endpoint), (since, int(now // MINUTE))
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and kept[0] == asked:
            return kept[1]
        try:
            found = _ask(azure, key, since, now)
        except WatcherError:
            # Inconclusive, and asked again at the next look.
            return Figures()
        with self._lock:
            self._kept[key] = (asked, found)
        return found


def _ask(azure: Azure, resource: str, since: float, now: float) -> Figures:
    first = math.ceil(since / MINUTE) * MINUTE
    last = int(now // MINUTE) * MINUTE
    if last <= first:
        return Figures(told=True)
    span = f"{_text(first)}/{_text(last)}"
    path = f"{resource}/providers/Microsoft.Insights/metrics"
    common = {"api-version": METRICS, "timespan": span, "interval": "PT1M", "aggregation": "Average", "top": "100"}
    answered = azure.get(
        path, **common, metricnames=REQUESTS, **{"$filter": "deployment eq '*' and statusCodeClass eq '*'"}
    )
    if not figures(answered, {}, first, last).told:
        return Figures()
    # Not in one request with the other: a filter is for all of its metrics, and this one has no status codes.
    latency = azure.get(path, **common, metricnames=LATENCY, **{"$filter": "deployment eq '*'"})
    return figures(answered, latency, first, last)


def figures(answered: Json, latency: Json, first: float, last: float) -> Figures:
    """Traffic from two answers of Azure Monitor.

    A minute counts only where the endpoint was told in it, for whatever deployment and status: a minute that is
    missing is not one without errors. The window ends with the newest minute told; where that one is older than
    `STALE`, nothing is known of now, and nothing is told.
    """
    minutes: set[float] = set()
    good: dict[str, float] = {}
    all_of_them: dict[str, float] = {}
    per_minute: dict[tuple[str, float], float] = {}
    for dimensions, at, value in _values(answered):
        if not first <= at < last:
            continue
        minutes.add(at)
        name = dimensions.get("deployment", "")
        all_of_them[name] = all_of_them.get(name, 0.0) + value
        per_minute[name, at] = per_minute.get((name, at), 0.0) + value
        if dimensions.get("statuscodeclass", "").lower() == _GOOD:
            good[name] = good.get(name, 0.0) + value
    if not minutes or last - max(minutes) > STALE:
        return Figures()
    slow: dict[str, list[tuple[float, float]]] = {}
    for dimensions, at, value in _values(latency):
        name = dimensions.get("deployment", "")
        if at in minutes and per_minute.get((name, at)):
            slow.setdefault(name, []).append((value, per_minute[name, at]))
    return Figures(
        {
            name: Traffic(
                round(total), round(total) - min(round(good.get(name, 0.0)), round(total)), _mean(slow.get(name))
            )
            for name, total in all_of_them.items()
        },
        told=True,
    )


def _mean(weighted: list[tuple[float, float]] | None) -> float | None:
    """The minutes' 95th percentiles, weighted by their requests: percentiles of the whole cannot be had from them."""
    total = sum(weight for _, weight in weighted or ())
    return sum(value * weight for value, weight in weighted) / total if weighted and total else None


def _values(answer: Json) -> Iterator[tuple[dict[str, str], float, float]]:
    """(dimensions in lower case, start of the minute, value) of every value that is there."""
    for metric in answer.get("value") or ():
        for series in metric.get("timeseries") or ():
            dimensions = {
                str((each.get("name") or {}).get("value", "")).lower(): str(each.get("value", ""))
                for each in series.get("metadatavalues") or ()
            }
            for point in series.get("data") or ():
                value: Any = point.get("average")
                if isinstance(value, int | float) and math.isfinite(value):
                    yield dimensions, _seconds(str(point.get("timeStamp"))), float(value)


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
