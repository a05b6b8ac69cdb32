"""The reference of the page names every part of its JSON, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.docs.texts import pages
from tests.page.asking import ask, page_of
from tests.page.house import House, cards, churn
from watcher.page import state
from watcher.page.versions import Outcome

PAGE = "docs/reference/page.md"


@pytest.fixture
def house() -> House:
    house = House()
    churn(house)
    cards(house)
    return house


def section(path: str) -> str:
    found: str = pages()[PAGE].text.partition(f"\n## {path}\n")[2].partition("\n## ")[0]
    return found


def first_cells(text: str, head: str) -> set[str]:
    """The names in the first column of the table with this head."""
    rows = text.partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/models", {}),
        ("/api/model", {"name": "prod.risk.churn"}),
        ("/api/version", {"model": "prod.risk.churn", "version": 6}),
        ("/api/history", {"model": "prod.risk.churn", "at": "1h"}),
    ],
)
def test_every_key_of_an_answer_is_in_its_table(house: House, path: str, query: dict[str, Any]) -> None:
    assert first_cells(section(path), "key") == set(ask(page_of(house), path, **query).json)


def test_every_field_of_a_model_in_the_list_is_in_its_table(house: House) -> None:
    told = ask(page_of(house), "/api/models").json["models"]
    assert first_cells(section("/api/models"), "field") == set(told[0])


def test_every_state_is_listed_with_its_tone() -> None:
    rows = re.findall(r"^\| (`.+`) \| (\w+) \|$", section("/api/models"), re.MULTILINE)
    shown = {code: tone for codes, tone in rows for code in re.findall(r"`(\w+)`", codes)}
    known = {one.code: one.tone for one in vars(state).values() if isinstance(one, state.State)}
    assert shown == known | {"settings": "bad"}


def test_every_outcome_is_listed() -> None:
    line = next(line for line in section("/api/model").splitlines() if line.startswith("An `outcome` is"))
    assert re.findall(r"`(\w+)`", line)[1:] == [str(outcome) for outcome in Outcome]


def test_every_part_of_what_a_version_answered_is_named(house: House) -> None:
    told = ask(page_of(house), "/api/version", model="prod.risk.churn", version=6).json
    text = next(line for line in pages()[PAGE].text.splitlines() if line.startswith("`served`"))
    assert set(told["served"][0]) <= set(re.findall(r"`(\w+)`", text))
