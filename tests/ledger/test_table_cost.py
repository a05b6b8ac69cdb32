"""What a question costs does not grow with the history, nor what is due with the number of models."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.azurite import Azurite
from tests.ledger.flaky import Flaky, flaky
from tests.ledger.tables import new_name, table_ledger
from watcher.history import read_live
from watcher.ledger.table import TableLedger
from watcher.ports import Line

QUESTIONS: dict[str, Callable[[TableLedger], object]] = {
    "what was live": lambda ledger: read_live(ledger, "m", 5.0, ["api"]),
    "the newest of one model": lambda ledger: ledger.history("m", most=5),
    "the newest of all models": lambda ledger: ledger.history(most=5),
    "the newest crowned of all models": lambda ledger: ledger.history(event="crowned", most=5),
    "the newest verdicts of one model": lambda ledger: ledger.history("m", event="verdict", most=5),
    "a time long ago": lambda ledger: ledger.history("m", since=3.0, until=5.0),
    "a time long ago, oldest first": lambda ledger: ledger.history("m", since=3.0, until=5.0, newest_first=False),
    "what is due": lambda ledger: ledger.due(5.0),
    "the record": lambda ledger: ledger.load("m"),
}


@pytest.fixture
def way(azurite: Azurite) -> Iterator[Flaky]:
    with flaky(azurite.table) as opened:
        yield opened


def story(first: int, updates: int) -> list[Line]:
    events = ("seen", "verdict", "done", "live", "crowned")
    return [
        Line(
            float(first + number),
            "m",
            event,
            "api" if event in ("done", "live") else None,
            first + number,
            data={"weights": {"1": 100}},
        )
        for number in range(updates)
        for event in events
    ]


def costs(ledger: TableLedger, way: Flaky) -> dict[str, tuple[int, int]]:
    """Requests and bytes of each question."""
    found = {}
    for question, ask in QUESTIONS.items():
        way.asked = way.answered = 0
        assert ask(ledger)
        found[question] = way.asked, way.answered
    return found


@pytest.mark.parametrize("more", [25, pytest.param(200, marks=pytest.mark.long)])
def test_no_question_costs_more_after_a_longer_history(azurite: Azurite, way: Flaky, more: int) -> None:
    ledger = table_ledger(azurite, new_name(), way.port)
    revision = ledger.save("m", {}, None, story(1, 6), due=5.0)
    first = costs(ledger, way)
    ledger.save("m", {}, revision, story(100, more), due=5.0)
    for question, (asked, answered) in costs(ledger, way).items():
        assert asked <= first[question][0], question
        # Longer numbers, and the keys to go on with where a page is not the last.
        assert answered <= first[question][1] + 500, question


@pytest.mark.long
def test_of_a_thousand_models_the_few_that_are_due_are_found_with_one_request(azurite: Azurite, way: Flaky) -> None:
    name = new_name()
    ledger = table_ledger(azurite, name)
    with ThreadPoolExecutor(4) as threads:
        body = {"seen": {str(number): [float(number), "x" * 40] for number in range(40)}}
        list(threads.map(lambda n: ledger.save(f"prod.model-{n:04}", body, None, due=float(n)), range(1000)))
    looking = table_ledger(azurite, name, way.port)
    looking.load("prod.model-0000")
    for now, expected, seconds in ((49.0, 50, 0.5), (1e9, 1000, 5.0)):
        way.asked = 0
        began = time.perf_counter()
        found = looking.due(now)
        assert time.perf_counter() - began < seconds
        assert way.asked == 1
        assert found == [f"prod.model-{n:04}" for n in range(expected)]
