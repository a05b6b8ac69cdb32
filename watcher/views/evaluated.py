"""An evaluation side by side: each metric of champion and challenger, of all rows and of each slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from watcher.evaluations import Comparison, Evaluated, Progress, Scored
from watcher.text import plain

HEAD = ("metric", "rows", "champion", "challenger", "gain", "interval", "method")
TRACK = 1_000
"""Parts of the width of the picture, so that a place in it is a whole number."""


def evaluation_json(found: Evaluated | None) -> dict[str, Any] | None:
    """The evaluation as it was observed; None where there is none."""
    if found is None:
        return None
    told: dict[str, Any] = {"progress": found.progress, "since": found.since or None, "why": plain(found.why, 500)}
    if found.progress is Progress.FAILED:
        told["fault"] = found.fault
    return told | {"comparison": found.comparison}


def score_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Cells under `HEAD`; what has no number says why."""
    return [_row(score) for score in comparison.scores]


def comparison_line(comparison: Comparison) -> str:
    """What was compared: rows, data, look, confidence, seconds; and whether the version was trained on it."""
    table = f" (table version {comparison.table_version})" if comparison.table_version is not None else ""
    changed = f" {comparison.changed:.2%} of the answers differ." if comparison.changed is not None else ""
    bounds = f"every bound holds with {100 * comparison.level:.5g} %"
    look = f" Look {comparison.look} on this holdout: {bounds}." if comparison.look else ""
    trained = f"{comparison.leak} So it is no evidence." if comparison.leak else comparison.leak_unknown
    return (
        f"Scored on {comparison.rows:,} rows of data {plain(comparison.data[:12])}{table}, in {comparison.seconds:.3g}"
        f" s.{changed}{look}{plain(f' {trained}', 500) if trained else ''}"
    )


def bars(scores: Sequence[Scored]) -> list[dict[str, Any]]:
    """Of each gain with an interval, where its ends, its middle and zero lie, in parts of `TRACK` from the left.

    Metrics differ in scale, so each has a track of its own, with its slices under it.
    """
    drawn = []
    for metric in dict.fromkeys(score.metric for score in scores):
        known = [s for s in scores if s.metric == metric and s.low is not None and s.high is not None]
        ends = [0.0, *(end for s in known for end in (s.low, s.high) if end is not None)]
        low, width = min(ends), (max(ends) - min(ends)) or 1.0
        for score in known:
            places = {
                name: round(TRACK * ((value or 0.0) - low) / width)
                for name, value in (("low", score.low), ("gain", score.gain), ("high", score.high), ("zero", 0.0))
            }
            about = {"name": _name(score), "says": _signed(score.gain), "interval": _interval(score)}
            drawn.append(about | places)
    return drawn


def _row(score: Scored) -> tuple[str, ...]:
    if score.challenger is None:
        return (_name(score), f"{score.rows:,}", "–", "–", "–", plain(score.why, 300), "")
    groups = f"{score.clusters:,} groups" if score.clusters is not None else ""
    method = ", ".join(filter(None, (score.method, groups)))
    return (
        _name(score),
        f"{score.rows:,}",
        _number(score.champion),
        _number(score.challenger),
        _signed(score.gain),
        _interval(score),
        plain(method, 100),
    )


def _name(score: Scored) -> str:
    where = f" in {plain(score.column, 100)}={plain(score.value, 100)}" if score.column else ""
    return plain(score.metric, 100) + where


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3g}"


def _interval(score: Scored) -> str:
    return f"{_signed(score.low)} to {_signed(score.high)}" if score.low is not None else "–"
