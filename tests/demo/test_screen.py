"""What is shown: the history in its own words, plain where it is not a terminal, never wider than one."""

from __future__ import annotations

import io

import pytest

from demo.screen import Screen
from watcher.ports import Line

VERDICT = Line(1.0, "diabetes", "verdict", version=2, data={"call": "wins", "findings": []})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(line: Line, stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    Screen(stream).tell(line)
    return stream.getvalue()


def test_a_verdict_is_told_in_the_watchers_words() -> None:
    assert shown(VERDICT).endswith("version 2 wins.\n")


@pytest.mark.parametrize(
    ("event", "verb", "seen"),
    [
        ("intent", "launch", False),
        ("done", "launch", True),
        ("done", "probe", True),
        ("done", "retire", True),
        ("done", "tag", False),
        ("failed", "tag", True),
    ],
)
def test_steps_are_shown_where_no_other_line_tells_of_them(event: str, verb: str, *, seen: bool) -> None:
    assert bool(shown(Line(1.0, "diabetes", event, "api", 2, data={"verb": verb}))) is seen


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in shown(VERDICT)
    assert "\x1b[32m" in shown(VERDICT, Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(VERDICT, Terminal())


def test_what_others_wrote_cannot_speak_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    hostile = Line(1.0, "diabetes", "rolled_back", version=2, data={"detail": "\x1b]0;owned\x07\nversion 9 wins"})
    text = shown(hostile, Terminal())
    assert "\x1b" not in text
    assert "\x07" not in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("columns", [20, 80, 100, 500])
def test_no_line_is_wider_than_the_terminal_or_than_one_can_read(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.StringIO()
    screen = Screen(stream)
    screen.act("a heading")
    screen.tell(Line(1.0, "diabetes", "rolled_back", version=2, data={"detail": "many words " * 60}))
    screen.table(("version", "because"), [("1", "many words " * 60)])
    assert max(map(len, stream.getvalue().splitlines())) <= min(max(columns, 60), 120)
