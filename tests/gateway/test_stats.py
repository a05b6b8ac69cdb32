"""Requests are counted and their latency is told closely enough."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stats import Stats


@given(st.lists(st.floats(1e-4, 600), min_size=1, max_size=300))
def test_p95_is_within_five_percent(seconds: list[float]) -> None:
    stats = Stats()
    for value in seconds:
        stats.count(200, value)
    exact = sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1] * 1000
    assert stats.quantile(0.95) == pytest.approx(exact, rel=0.05)


def test_every_answer_but_a_200_is_an_error() -> None:
    stats = Stats()
    for status in (200, 204, 400, 404, 502, 200):
        stats.count(status, 0.01)
    assert (stats.requests, stats.errors) == (6, 4)


def test_without_requests_there_is_no_latency() -> None:
    assert Stats().quantile(0.95) is None
