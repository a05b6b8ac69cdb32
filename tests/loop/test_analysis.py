"""What the analysis of one endpoint says, at the edges of its rules and in its own words."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from tests.judge.world import target
from watcher.decide.analysis import Analysed, Outcome, analyse
from watcher.record import Record
from watcher.snapshot import TargetView
from watcher.values import Analysis, Mirrored, Observed, SeenRelease, State, Traffic

RULES = Analysis(min_requests=100, max_error_increase=0.05, max_p95_ratio=1.5, max_disagreement=0.1)
KNOWN = Record(0.0, baseline={"api": {"errors": 0.25, "p95_ms": 20.0}})
GOOD, BAD, INCONCLUSIVE = Outcome.GOOD, Outcome.BAD, Outcome.INCONCLUSIVE
OLD = Traffic(1_000, 20, 20.0)


@dataclass(frozen=True)
class Seen:
    """What a challenger answered, beside a champion that answered `old`."""

    new: Traffic
    old: Traffic | None = OLD
    copies: Mirrored | None = None
    baked: bool = True
    record: Record = KNOWN

    def analysed(self) -> Analysed:
        traffic = {"new": self.new} | ({"old": self.old} if self.old else {})
        releases = tuple(SeenRelease(name, 1, name, State.READY, traffic=seen) for name, seen in traffic.items())
        weights = {"old": 90} if self.copies else {"old": 90, "new": 10}
        view = TargetView(target("api"), Observed(releases, weights, mirrored=self.copies))
        return analyse(view, "old" if self.old else None, "new", RULES, self.record, baked=self.baked)


def copied(compared: int, disagreed: int, traffic: Traffic = OLD) -> Mirrored:
    return Mirrored("new", 50, traffic, compared=compared, disagreed=disagreed)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen(Traffic(100, 7, 30.0)), Analysed(GOOD, baseline=(0.02, 20.0))),
        (Seen(Traffic(99, 7)), Analysed(INCONCLUSIVE, "too_few_requests", "api: 99 of 100 requests")),
        (
            Seen(Traffic(100, 8), baked=False),
            Analysed(BAD, "analysis_errors", "api: 8 of 100 requests failed (8.0%), champion 2.0%, allowed +5.0%"),
        ),
        (
            Seen(Traffic(100, 0, 30.1)),
            Analysed(BAD, "analysis_latency", "api: p95 30.1 ms, champion 20.0 ms, allowed 1.5×"),
        ),
        (Seen(Traffic(100, 0, 30.1), baked=False), Analysed(GOOD, baseline=(0.02, 20.0))),
        (Seen(Traffic(100, 0, None)), Analysed(GOOD, baseline=(0.02, 20.0))),
        (Seen(Traffic(100, 0, 99.0), Traffic(1_000, 20, None)), Analysed(GOOD, baseline=(0.02, None))),
        (Seen(Traffic(available=False)), Analysed(INCONCLUSIVE, "traffic_unknown", "api")),
        (Seen(Traffic(100), Traffic(available=False)), Analysed(INCONCLUSIVE, "traffic_unknown", "api")),
        (Seen(Traffic(100, 30, 30.0), Traffic(99)), Analysed(GOOD)),
        (
            Seen(Traffic(100, 31), Traffic(99)),
            Analysed(BAD, "analysis_errors", "api: 31 of 100 requests failed (31.0%), champion 25.0%, allowed +5.0%"),
        ),
        (
            Seen(Traffic(100, 0, 31.0), Traffic(99)),
            Analysed(BAD, "analysis_latency", "api: p95 31.0 ms, champion 20.0 ms, allowed 1.5×"),
        ),
        (Seen(Traffic(100, 5, 99.0), Traffic(), record=Record(0.0)), Analysed(GOOD)),
        (
            Seen(Traffic(100, 6), None, record=Record(0.0)),
            Analysed(BAD, "analysis_errors", "api: 6 of 100 requests failed (6.0%), champion 0.0%, allowed +5.0%"),
        ),
        (Seen(Traffic(), copies=copied(100, 10)), Analysed(GOOD, baseline=(0.02, 20.0))),
        (
            Seen(Traffic(), copies=copied(99, 0)),
            Analysed(INCONCLUSIVE, "too_few_requests", "api: 99 of 100 mirrored answers compared"),
        ),
        (
            Seen(Traffic(), copies=copied(100, 11)),
            Analysed(
                BAD,
                "analysis_disagreement",
                "api: 11 of 100 mirrored answers differ from the champion's (11.0%), allowed 10.0%",
            ),
        ),
        (
            Seen(Traffic(), copies=copied(100, 0, Traffic(200, 20, 20.0))),
            Analysed(
                BAD, "analysis_errors", "api: 20 of 200 mirrored requests failed (10.0%), champion 2.0%, allowed +5.0%"
            ),
        ),
        (
            Seen(Traffic(), copies=copied(100, 0, Traffic(200, 2, 31.0))),
            Analysed(BAD, "analysis_latency", "api: p95 31.0 ms of copies, champion 20.0 ms, allowed 1.5×"),
        ),
        (
            Seen(Traffic(), copies=copied(100, 0, replace(OLD, requests=7, errors=0))),
            Analysed(INCONCLUSIVE, "too_few_requests", "api: 7 of 100 requests"),
        ),
    ],
)
def test_what_was_answered_says_whether_the_challenger_is_as_good(seen: Seen, expected: Analysed) -> None:
    assert seen.analysed() == expected
