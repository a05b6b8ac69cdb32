"""Text from outside, made safe to show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.text import plain

ANY = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    {
        "prod.risk.churn": "prod.risk.churn",
        "Übung 模型": "Übung 模型",
        "one\r\ntwo\tthree": "one  two three",
        "\x1b[2Jgone": "\N{REPLACEMENT CHARACTER}[2Jgone",
        "ad\u200bmin": "ad\N{REPLACEMENT CHARACTER}min",
        "\u202etxt.exe": "\N{REPLACEMENT CHARACTER}txt.exe",
        "\ud800": "\N{REPLACEMENT CHARACTER}",
        "a\u2028b\xa0c": "a b c",
    }.items(),
)
def test_nothing_invisible_is_shown(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(ANY, st.integers(1, 300))
def test_it_is_one_printable_line_of_bounded_length(text: str, most: int) -> None:
    shown = plain(text, most)
    assert len(shown) <= most
    assert shown.isprintable()


@given(ANY)
def test_making_it_plain_twice_changes_nothing_more(text: str) -> None:
    assert plain(plain(text)) == plain(text)


def test_a_text_of_any_length_is_cut_with_a_mark() -> None:
    assert plain("x" * 10_000_000, 5) == "xxxx…"
    assert plain("xxxxx", 5) == "xxxxx"


def test_what_is_not_text_is_shown_as_text() -> None:
    assert plain(None) == "None"
