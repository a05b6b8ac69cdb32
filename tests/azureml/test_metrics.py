"""Figures of Azure Monitor: one a minute, some of them late, and a missing minute is never one without errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deployers.azureml.metrics import figures
from tests.azureml.house import Bench
from watcher.values import Traffic

FIRST = 1_800_000_000.0
Told = dict[tuple[str, str], dict[int, float | None]]


def answer(told: Told, *, latency: bool = False) -> dict[str, Any]:
    """Azure Monitor's own form: (deployment, status class) -> minute -> value."""
    series = []
    for (deployment, status), minutes in told.items():
        names = {"deployment": deployment} if latency else {"deployment": deployment, "statuscodeclass": status}
        points: list[dict[str, Any]] = []
        for minute, value in minutes.items():
            stamp = datetime.fromtimestamp(FIRST + 60 * minute, UTC).isoformat().replace("+00:00", "Z")
            points.append({"timeStamp": stamp} | ({} if value is None else {"average": value}))
        values = [{"name": {"value": key}, "value": each} for key, each in names.items()]
        series.append({"metadatavalues": values, "data": points})
    return {"value": [{"timeseries": series}]}


def of(requests: Told, latency: Told | None = None, minutes: int = 10) -> Any:
    return figures(answer(requests), answer(latency or {}, latency=True), FIRST, FIRST + 60 * minutes)


def test_every_answer_but_a_2xx_counts_as_an_error() -> None:
    found = of({("a", "2xx"): {0: 50.0, 9: 40.0}, ("a", "5xx"): {0: 3.0}, ("a", "4xx"): {9: 7.0}})
    assert found.of["a"] == Traffic(100, 10, None)


def test_minutes_before_the_first_whole_one_do_not_count() -> None:
    assert of({("a", "2xx"): {-1: 500.0, 0: 10.0, 9: 10.0}}).of["a"].requests == 20


def test_nothing_told_is_not_zero() -> None:
    assert not of({}).told
    assert not of({("a", "2xx"): {0: None, 9: None}}).told


def test_what_was_told_last_too_long_ago_says_nothing_of_now() -> None:
    requests: Told = {("a", "2xx"): {0: 1000.0}}
    assert of(requests, minutes=10).told
    assert not of(requests, minutes=20).told


def test_latency_is_weighted_by_the_minutes_requests_and_taken_only_from_minutes_that_were_told() -> None:
    requests: Told = {("a", "2xx"): {0: 10.0, 1: 30.0, 9: 0.0}}
    latency: Told = {("a", ""): {0: 100.0, 1: 20.0, 2: 9999.0}}
    assert of(requests, latency).of["a"].p95_ms == pytest.approx(40.0)


@pytest.mark.parametrize("bent", [{}, {"value": None}, {"value": [{}]}, {"value": [{"timeseries": [{"data": [{}]}]}]}])
def test_an_answer_of_another_form_tells_nothing(bent: dict[str, Any]) -> None:
    assert not figures(bent, bent, FIRST, FIRST + 600).told


@pytest.mark.slow
def test_figures_are_asked_once_a_minute_whoever_looks(bench: Bench) -> None:
    release = bench.launched(1)
    bench.shift((release, 100))
    bench.cloud.clients(bench.endpoint, 400)
    before = bench.cloud.count("Insights/metrics")
    for _ in range(3):
        bench.observe()
    assert bench.cloud.count("Insights/metrics") - before == 2


@pytest.mark.slow
def test_latency_is_not_asked_for_while_no_requests_are_told(bench: Bench) -> None:
    release = bench.launched(1)
    bench.shift((release, 100))
    bench.cloud.sleep(400)
    before = bench.cloud.count("Insights/metrics")
    seen = bench.seen(1)
    assert seen is not None
    assert not seen.traffic.available
    assert bench.cloud.count("Insights/metrics") - before == 1


@pytest.mark.slow
def test_without_figures_the_traffic_is_unknown_and_asked_again_at_the_next_look(bench: Bench) -> None:
    release = bench.launched(1)
    bench.shift((release, 100))
    bench.cloud.clients(bench.endpoint, 400)
    bench.cloud.metrics_out = True
    lost = bench.seen(1)
    assert lost is not None
    assert not lost.traffic.available
    bench.cloud.metrics_out = False
    found = bench.seen(1)
    assert found is not None
    assert found.traffic.available
    assert found.traffic.requests > 100


@pytest.mark.slow
def test_errors_of_minutes_that_are_not_told_yet_are_not_read_as_none(bench: Bench) -> None:
    release = bench.launched(1)
    bench.shift((release, 100))
    bench.cloud.clients(bench.endpoint, 300)
    bench.cloud.scoring_errors[release.name] = 500
    bench.cloud.clients(bench.endpoint, 60)
    seen = bench.seen(1)
    assert seen is not None
    late = seen.traffic
    bench.cloud.scoring_errors.clear()
    bench.cloud.clients(bench.endpoint, 240)
    seen = bench.seen(1)
    assert seen is not None
    assert late.errors == 0
    assert late.requests < 330, "the minute with errors is not among those counted"
    assert seen.traffic.errors >= 55


@pytest.mark.slow
def test_a_first_look_after_a_change_of_weights_has_nothing_to_ask(bench: Bench) -> None:
    release = bench.launched(1)
    before = bench.cloud.count("Insights/metrics")
    bench.shift((release, 100))
    seen = bench.seen(1)
    assert seen is not None
    assert seen.traffic == Traffic(0, 0, None)
    assert bench.cloud.count("Insights/metrics") == before
