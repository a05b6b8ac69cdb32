"""Which lines of the history a person is notified of."""

from __future__ import annotations

from typing import Any

import pytest

from watcher.history import EVENTS
from watcher.news import NEEDS_A_PERSON, TITLES, News, news_of
from watcher.ports import Line
from watcher.reasons import REASONS


def line(event: str, reason: str = "", **data: Any) -> Line:
    assert event in EVENTS
    assert not reason or reason in REASONS
    return Line(1.0, "churn", event, "api", 3, reason, data)


NEWS: list[tuple[str, Line, News | None]] = [
    ("a winner is news", line("verdict", "beats_champion", call="wins"), News.WON),
    ("a loser is news", line("verdict", "gain_too_small", call="loses"), News.LOST),
    ("an invalid version lost too", line("verdict", "artifacts_absent", call="invalid"), News.LOST),
    ("a superseded version is no news", line("verdict", "at_or_below_floor", call="superseded"), None),
    ("a version that waits for a metric is no news", line("verdict", "evidence_missing", call="waits"), None),
    ("a version that waits for approval needs a person", line("verdict", "approval_missing", call="waits"), News.STUCK),
    ("a winner that is held is told as held", line("verdict", "held", call="waits"), News.HELD),
    ("a held rollout is told as held", line("told", "held"), News.HELD),
    ("a target that refuses needs a person", line("told", "target_refuses"), News.STUCK),
    ("a quiet canary needs a person", line("told", "too_few_requests"), News.STUCK),
    ("a challenger that bakes does not", line("told", "baking"), None),
    ("a target that is away for a moment does not", line("told", "target_unseen"), None),
    ("a pause of all is known to who paused", line("told", "paused"), None),
    ("a crown is a new champion", line("crowned", version=3, previous=2), News.CHAMPION_CHANGED),
    ("an order is a new champion", line("order", crowned=2), News.CHAMPION_CHANGED),
    ("a roll-back is news", line("rolled_back", "analysis_errors"), News.ROLLED_BACK),
    ("an order that cannot be met is news", line("unmet"), News.ORDER_FAILED),
    ("a step is no news", line("done", "launch"), None),
    ("what is live is no news", line("live"), None),
]


@pytest.mark.parametrize(("told", "news"), [row[1:] for row in NEWS], ids=[row[0] for row in NEWS])
def test_each_line_is_the_news_that_it_is(told: Line, news: News | None) -> None:
    assert news_of(told) is news


def test_every_news_has_a_title_and_a_line_that_makes_it() -> None:
    assert set(TITLES) == set(News) == {news for _, _, news in NEWS if news is not None}


def test_what_passes_by_itself_needs_nobody() -> None:
    assert not NEEDS_A_PERSON & {"baking", "launching", "leased", "backoff", "young_ledger", "nothing_to_do"}


@pytest.mark.parametrize("data", [None, {}, {"call": None}, {"call": ["wins"]}])
def test_a_line_whose_data_is_broken_is_no_news(data: dict[str, Any] | None) -> None:
    assert news_of(Line(1.0, "churn", "verdict", data=data)) is None
