"""What one release answered since the weights were last written."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

STEP = math.log(1.08)
"""Width of a bucket: a value is told within 4 % either way."""
LEAST = 0.01
"""Milliseconds; anything faster counts as this."""


class Stats:
    """Requests, errors (every answer but a 200) and the distribution of latency."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self._buckets: dict[int, int] = {}

    def count(self, status: int, seconds: float) -> None:
        self.requests += 1
        if status != HTTPStatus.OK:
            self.errors += 1
        bucket = int(math.log(max(seconds * 1000, LEAST) / LEAST) / STEP)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def quantile(self, share: float) -> float | None:
        """Milliseconds that this share of the requests stayed below, None without requests."""
        wanted = share * self.requests
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return LEAST * math.exp((bucket + 0.5) * STEP)
        return None

    def told(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "errors": self.errors,
            "p50_ms": self.quantile(0.5),
            "p95_ms": self.quantile(0.95),
        }
