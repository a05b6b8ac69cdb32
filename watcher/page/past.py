"""The history, a page at a time, and what was live at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watcher.history import Live, read_live
from watcher.page.known import Memory
from watcher.page.overview import trouble
from watcher.page.versions import said
from watcher.settings import Watched
from watcher.views.app import App
from watcher.views.lines import line_json, live_json

AT_A_TIME = 50
MOST_SKIPPED = 5_000
"""Lines of one and the same moment that can be leafed through."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lines: of `model` (None: all) and `event` (None: every), until `until`, without the newest `skip`."""

    model: str | None = None
    event: str | None = None
    until: float | None = None
    skip: int = 0
    at: float | None = None
    """The moment for which to tell what was live, None for none."""


def history(app: App, memory: Memory, asked: Asked, watched: Watched | None) -> dict[str, Any]:
    """One page of lines, newest first, where the next begins, and what was live at the moment asked for."""
    questions: dict[Any, Any] = {asked: lambda: _lines(app, asked)}
    targets = [target.name for target in watched.targets] if watched else []
    if asked.at is not None and asked.model is not None:
        name, at = asked.model, asked.at
        questions["at", name, at] = lambda: read_live(app.ledger, name, at, targets)
    known = memory.ask(questions)
    lines, rest = known[0].value or ([], None)
    live = known[1].value if len(known) > 1 else None
    return {
        "model": asked.model,
        "event": asked.event,
        "owner": app.settings.owner,
        "at": asked.at,
        "until": asked.until,
        "trouble": trouble("The ledger", next((one for one in known if one.problem), known[0])),
        "live": _live(live) if live is not None else None,
        "lines": [line_json(line) | {"said": said(line)} for line in lines],
        "older": {"until": rest[0], "skip": rest[1]} if rest else None,
    }


def _live(live: Mapping[str, Live]) -> dict[str, Any]:
    told = live_json(live)
    for name, one in live.items():
        told[name]["lines"] = [line_json(line) | {"said": said(line)} for line in (one.line, *one.because)]
    return told


def _lines(app: App, asked: Asked) -> tuple[list[Any], tuple[float, int] | None]:
    """A page of lines, and where the next one begins: a moment, and how many of its lines were shown already."""
    most = asked.skip + AT_A_TIME + 1
    found = [*app.ledger.history(asked.model, until=asked.until, most=most, event=asked.event)]
    shown = found[asked.skip : asked.skip + AT_A_TIME]
    if len(found) < most or not shown:
        return shown, None
    last = shown[-1].at
    before = sum(line.at == last for line in found[: asked.skip + AT_A_TIME])
    return shown, (last, before)
