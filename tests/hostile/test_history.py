"""Whatever a line of the history holds, the ledger gives it back as it was, and its sentence is one plain line."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import strategies as hostile
from watcher.errors import Terminal
from watcher.history import EVENTS, read_live, render, timeline
from watcher.ledger.json_text import to_json
from watcher.ledger.sqlite import SqliteLedger
from watcher.ports import Line

KEYS = (
    "call", "findings", "verb", "release", "weights", "detail", "seconds", "crowned", "previous", "floor", "displaced",
    "order", "who", "numbers", "version", "state", "kept", "rescued", "reason",
)  # fmt: skip
FINDINGS = st.lists(
    hostile.values()
    | st.dictionaries(st.sampled_from(("rule", "call", "reason", "measured", "bound", "detail")), hostile.values()),
    max_size=3,
)
WEIGHTS = st.dictionaries(hostile.texts(60), st.integers() | hostile.values(), max_size=3)
DATA = st.dictionaries(st.sampled_from(KEYS) | hostile.texts(60), hostile.values() | FINDINGS | WEIGHTS, max_size=6)
LINES = st.builds(
    Line,
    hostile.numbers(),
    hostile.texts(300),
    st.sampled_from(sorted(EVENTS)) | hostile.texts(60),
    st.none() | hostile.texts(100),
    st.none() | st.integers(),
    hostile.texts(300),
    st.none() | DATA,
)


@given(LINES)
def test_any_line_is_told_in_one_plain_line(line: Line) -> None:
    told = render(line)
    assert hostile.is_plain(told), told
    assert len(told) < hostile.SAFE_IN_A_LINE
    timeline([line], line.model)


@functools.cache
def ledger() -> SqliteLedger:
    folder = tempfile.TemporaryDirectory(prefix="watcher-hostile-")
    _kept.append(folder)
    return SqliteLedger(Path(folder.name) / "ledger.db")


_kept: list[tempfile.TemporaryDirectory[str]] = []


def written(value: object) -> bool:
    try:
        to_json(value)
    except Terminal:
        return False
    return True


@given(
    st.lists(LINES, max_size=3), hostile.texts(300), st.dictionaries(hostile.texts(60), hostile.values(), max_size=3)
)
def test_the_ledger_gives_back_what_it_was_given_or_refuses_it_whole(
    lines: list[Line], key: str, body: dict[str, Any]
) -> None:
    there = ledger().load(key)
    before = ledger().history(most=1_000_000)
    try:
        ledger().save(key, body, there.revision if there else None, lines)
    except Terminal as error:
        hostile.must_be_plain(error)
        assert ledger().load(key) == there
        assert ledger().history(most=1_000_000) == before
        return
    saved = ledger().load(key)
    assert saved is not None
    assert saved.body == json.loads(json.dumps(body))
    for line in lines:
        assert line.model in {found.model for found in ledger().history(line.model, event=line.event)}
        read_live(ledger(), line.model, line.at, [line.target or ""])
