"""Lines of the history, and what was live at a moment, as they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watcher.history import Live, explain
from watcher.ports import Line
from watcher.sentences import render, stamp
from watcher.text import plain


def line_json(line: Line) -> dict[str, Any]:
    """The line with its time and its sentences."""
    return {
        "at": line.at,
        "time": stamp(line.at),
        "model": line.model,
        "event": line.event,
        "target": line.target,
        "version": line.version,
        "reason": line.reason,
        "data": line.data or {},
        "text": render(line),
    }


def line_text(line: Line) -> str:
    """`2026-03-01 02:47:05 UTC  churn: …`."""
    return f"{stamp(line.at)}  {render(line)}"


def live_json(live: Mapping[str, Live]) -> dict[str, Any]:
    """What each target served, since when, and why."""
    return {
        name: {
            "weights": dict(entry.weights),
            "since": entry.since,
            "why": [*explain(entry)],
            "lines": [line_json(line) for line in (entry.line, *entry.because)],
        }
        for name, entry in live.items()
    }


def share(version: str, percent: int) -> str:
    """`v12 90 %`, or the name of a release that is not ours."""
    return f"{'v' if version.isdecimal() else ''}{plain(version)} {percent} %"
