"""Text from outside, made safe to show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.text import plain, secret_values, without_secrets

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


@pytest.mark.parametrize(
    ("text", "shown"),
    {
        "postgresql://ann:pw@db/x": "postgresql://***@db/x",
        "?sig=abc%3D&se=1": "?sig=***&se=1",
        "Password=hunter2 Token=t": "Password=*** Token=***",
        "KeyError: 'bmi'": "KeyError: 'bmi'",
    }.items(),
)
def test_what_looks_like_a_credential_is_not_shown(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_values_of_variables_that_name_a_secret_are_known_and_others_are_not() -> None:
    environ = {
        "MLFLOW_TRACKING_TOKEN": "abcdefgh",
        "DB_PASSWORD": "correct horse",
        "AZURE_STORAGE_KEY": "k" * 20,
        "PIN_TOKEN": "1234",
        "HOME": "/home/ann",
        "MONKEY": "not a secret",
    }
    assert secret_values(environ) == ["k" * 20, "correct horse", "abcdefgh"]
