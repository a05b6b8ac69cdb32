"""The end of the story in numbers: a table for the person, `report.json` for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo.counts import Counts
from demo.promises import Promise, Seen, outcome
from demo.screen import GREEN, RED, Screen
from gateway.files import write_json
from watcher.ports import Line

FLAWED = 6
"""The version whose model cannot answer some of the requests."""


def build(seen: Seen, promises: Sequence[Promise], seconds: float) -> dict[str, Any]:
    """JSON values; times are seconds, versions are keys as text."""
    counts = seen.counts
    flawed = counts.own.get(str(FLAWED), 0)
    return {
        "requests_sent": counts.sent,
        "requests_failed": counts.failed + sum(counts.own.values()) - flawed,
        f"requests_failed_v{FLAWED}": flawed,
        "answers": dict(sorted(counts.answers.items(), key=lambda item: int(item[0]))),
        "seconds_to_first_answer": {
            str(version): round(waited, 2)
            for version in seen.registered
            if (waited := first_answer(seen.lines, counts, version)) is not None
        },
        "seconds_from_order_to_answer": {
            str(line.version): round(first - line.at, 2)
            for line in seen.lines
            if line.event == "order"
            and line.version is not None
            and (first := counts.first_since(line.version, line.at)) is not None
        },
        "verdicts": {
            str(version): dict(zip(("call", "reason", "detail"), outcome(seen.lines, version), strict=True))
            for version in seen.registered
        },
        "champion": seen.champion,
        "promises": {promise.words: promise.broken or "kept" for promise in promises},
        "rows": {
            "in": seen.scored.rows_in,
            "out": seen.scored.rows_out,
            "lost": seen.scored.lost,
            "twice": seen.scored.twice,
            "by_version": {str(version): rows for version, rows in (seen.scored.versions or {}).items()},
        },
        "runs": [{"folder": run.folder, "version": run.version, "rows": run.rows} for run in seen.scored.runs],
        "failures": counts.failures,
        "longest_answer_ms": counts.longest_ms,
        "seconds": round(seconds, 1),
    }


def first_answer(lines: Sequence[Line], counts: Counts, version: int) -> float | None:
    """Seconds from the wake-up that first saw the version to its first answer, None where it never answered."""
    seen = next((line.at for line in lines if line.event == "seen" and line.version == version), None)
    first = counts.first_since(version, seen) if seen is not None else None
    return first - seen if first is not None and seen is not None else None


def write(path: Path, report: dict[str, Any]) -> None:
    """Leave the report where programs look for it."""
    write_json(path, report)


def show(screen: Screen, report: dict[str, Any], promises: Sequence[Promise]) -> None:
    """The table, and each promise with whether it was kept."""
    screen.act("what the client counted, and what became of each version")
    table = []
    for version, verdict in report["verdicts"].items():
        own = report[f"requests_failed_v{FLAWED}"] if int(version) == FLAWED else 0
        waited = report["seconds_to_first_answer"].get(version)
        call = verdict["call"].replace("_", " ") or "–"
        table.append(
            (
                f"{version}{' (champion)' if int(version) == report['champion'] else ''}",
                f"{report['answers'].get(version, 0):,}",
                f"{own:,}",
                f"{report['rows']['by_version'].get(version, 0):,}",
                f"{waited:.1f} s" if waited is not None else "–",
                call,
                ": ".join(filter(None, (verdict["reason"].replace("_", " "), verdict["detail"]))),
            )
        )
    screen.table(("version", "answers", "failed", "rows", "first answer", "verdict", "because"), table)
    for version, waited in report["seconds_from_order_to_answer"].items():
        screen.say(f"From the wake-up that saw the order to the first answer of version {version}: {waited:.1f} s.")
    flawed = report[f"requests_failed_v{FLAWED}"]
    apart = f"; {flawed} more were failed by version {FLAWED} itself" if flawed else ""
    screen.say(
        f"{report['requests_sent']:,} requests sent, {report['requests_failed']} failed{apart}."
        f" The longest answer took {report['longest_answer_ms']:.0f} ms, the whole {report['seconds']:.0f} s.",
        RED if report["requests_failed"] else GREEN,
    )
    rows = report["rows"]
    screen.say(
        f"{rows['in']:,} rows in, {rows['out']:,} rows out of the stream: {rows['lost']} lost, {rows['twice']} twice.",
        GREEN if rows["in"] == rows["out"] and not rows["lost"] and not rows["twice"] else RED,
    )
    for run in report["runs"]:
        screen.say(f"Batch: {run['rows']:,} rows with version {run['version']} in {run['folder']}.")
    for promise in promises:
        if promise.broken:
            screen.say(f"BROKEN: {promise.words} {promise.broken}", RED, "  ")
        else:
            screen.say(f"kept: {promise.words}", "", "  ")
