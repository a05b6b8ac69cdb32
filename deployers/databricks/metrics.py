"""What a serving endpoint exports of itself: OpenMetrics text, gauges of the last whole minute."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise

from watcher.values import Traffic

MINUTE = 60.0
_SAMPLE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+(-?\d+))?\s*$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_QUANTILE = 0.95


def of_releases(text: str, releases: Collection[str], since: float, now: float) -> dict[str, Traffic]:
    """Traffic of each named release in the last whole minute.

    Left out, never zero: a release without samples, and all of them while that minute may have begun before `since`,
    the last change of the endpoint.
    """
    if now - since < 2 * MINUTE:
        # The minute that is exported may have ended up to a minute ago.
        return {}
    found: dict[str, Traffic] = {}
    samples = list(_samples(text))
    for release in releases:
        mine = [(name, labels, value) for name, labels, value in samples if release in labels.values()]
        counts: dict[str, float] = {}
        for name, _, value in mine:
            counts[name] = counts.get(name, 0.0) + value
        if "request_count_total" not in counts:
            continue
        errors = counts.get("request_4xx_count_total", 0.0) + counts.get("request_5xx_count_total", 0.0)
        found[release] = Traffic(round(counts["request_count_total"]), round(errors), _p95(mine))
    return found


def _samples(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for line in text.splitlines():
        read = None if line.startswith("#") else _SAMPLE.match(line)
        if read is None:
            continue
        try:
            value = float(read[3])
        except ValueError:
            continue
        if value >= 0:
            yield read[1], dict(_LABEL.findall(read[2] or "")), value


def _p95(samples: list[tuple[str, Mapping[str, str], float]]) -> float | None:
    """Milliseconds, by linear interpolation within the histogram's bucket; None without one, or beyond its last."""
    buckets: dict[float, float] = {}
    for name, labels, value in samples:
        if name == "request_latency_ms_bucket":
            try:
                bound = float(labels.get("le", ""))
            except ValueError:
                continue
            buckets[bound] = buckets.get(bound, 0.0) + value
    ordered = [(0.0, 0.0), *sorted(buckets.items())]
    wanted = ordered[-1][1] * _QUANTILE
    for (low, below), (high, upto) in pairwise(ordered):
        if upto >= wanted > 0:
            return None if high == float("inf") else low + (high - low) * (wanted - below) / (upto - below)
    return None
