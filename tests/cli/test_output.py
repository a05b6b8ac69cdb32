from __future__ import annotations

import json
import time

import pytest

from watcher.cli import output
from watcher.cli.output import Output
from watcher.views.jsonable import to_json


def test_a_line_stays_one_line_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    Output().say("a\nb\x1b[1mc")
    assert capsys.readouterr().out == "a b\N{REPLACEMENT CHARACTER}[1mc\n"


def test_json_is_ascii_and_reads_back_as_it_was() -> None:
    value = {"name": "\x1b\x7f\u202e\ud800\N{SNOWMAN}"}
    text = to_json(value)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == value


def test_a_table_keeps_its_rows_apart_and_its_cells_plain(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("name", "value"), [("[red]a\n", 1), ("b", "\x1b[2J")])
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()] == ["name", told.splitlines()[1].split()[0], "[red]a", "b"]
    assert "\x1b" not in told


def wait_for_stderr(capsys: pytest.CaptureFixture[str], text: str, seconds: float) -> bool:
    until, seen = time.monotonic() + seconds, ""
    while time.monotonic() < until and text not in seen:
        seen += capsys.readouterr().err
        time.sleep(0.01)
    return text in seen


def test_what_takes_long_is_named_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "SLOW", 0.01)
    with Output().busy("Reading the registry"):
        assert wait_for_stderr(capsys, "Reading the registry …\n", 10.0)


def test_nothing_but_the_answer_is_told_to_a_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "SLOW", 0.01)
    with Output(json=True).busy("Reading the registry"):
        assert not wait_for_stderr(capsys, "Reading", 0.1)
