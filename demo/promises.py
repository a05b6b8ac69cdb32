"""What the watcher promises, checked against what was seen: history, the client's counts, registry and gateway.

Nothing here knows how the story is meant to go: whatever the versions' metrics are, these must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from demo.counts import Counts
from demo.settings import TARGET
from demo.tables import Scored
from watcher.ports import Line
from watcher.values import FINAL, Call

GRACE = 2.0
"""Seconds in which requests in flight may still be answered by a release that lost its traffic."""
SLACK = 0.05
WHOLE = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was seen, at rest."""

    lines: Sequence[Line]
    """The whole history, oldest first."""
    counts: Counts
    registered: Sequence[int]
    champion: int | None
    """Where the registry's alias is."""
    tags: Mapping[int, str | None]
    """Version -> the verdict written on it."""
    weights: Mapping[int, int]
    """Version -> percent, as the gateway says."""
    bake: float
    scored: Scored = field(default_factory=Scored)
    """What the batch job and the stream made of the table."""
    killed: tuple[tuple[float, int], ...] = ()
    """When a watcher was killed, and the version it was rolling out."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise; `broken` says by what, and is empty where it was kept."""

    words: str
    broken: str = ""


def check(seen: Seen) -> tuple[Promise, ...]:
    """Every promise in the order in which a person asks for them."""
    return tuple(Promise(words, "; ".join(test(seen))) for words, test in _PROMISES)


def outcome(lines: Sequence[Line], version: int) -> tuple[str, str, str]:
    """What became of a version: its last call, the reason, and the words that came with it. Empty before a verdict."""
    call = reason = detail = ""
    for line in lines:
        data = line.data or {}
        if line.event == "verdict" and line.version == version:
            call, reason = str(data.get("call")), str(data.get("reason"))
            detail = _numbers(data, call)
        elif line.event in ("rolled_back", "unmet") and line.version == version:
            call, reason, detail = line.event, line.reason, str(data.get("detail") or "")
        elif line.event == "order" and data.get("displaced") == version:
            call, reason, detail = str(Call.DISPLACED), line.reason, f"by version {line.version}"
    return call, reason, detail


def _numbers(data: Mapping[str, object], call: str) -> str:
    """The first finding that speaks for the call, with what was measured."""
    found = data.get("findings")
    findings = [f for f in found if isinstance(f, Mapping)] if isinstance(found, list) else []
    rules = ("primary_gains", "within_bounds") if call == Call.WINS else ()
    wanted = [f for rule in rules for f in findings if f.get("rule") == rule and f.get("measured")]
    wanted = wanted or [f for f in findings if f.get("call") == call]
    if not wanted:
        return ""
    first = wanted[0]
    said = [str(first.get("measured") or ""), f"needed {first['bound']}" if first.get("bound") else ""]
    return " · ".join(filter(None, (", ".join(filter(None, said)), str(first.get("detail") or ""))))


def _no_failures(seen: Seen) -> Iterator[str]:
    counts = seen.counts
    if counts.sent == 0:
        yield "no request was sent"
    if counts.failed:
        yield f"{counts.failed} failed, first: {counts.failures[0] if counts.failures else 'unknown'}"
    if counts.answered != counts.sent:
        yield f"{counts.sent} sent, {counts.answered} answered"


def _bad_ones_caught(seen: Seen) -> Iterator[str]:
    for version, failures in seen.counts.own.items():
        if outcome(seen.lines, int(version))[0] not in (Call.ROLLED_BACK, Call.DISPLACED):
            yield f"version {version} failed {failures} requests and stayed"


def _all_judged(seen: Seen) -> Iterator[str]:
    for version in seen.registered:
        if not outcome(seen.lines, version)[0]:
            yield f"version {version} got no verdict"


def _allowed(seen: Seen) -> set[int | None]:
    """Winners, and what a person ordered."""
    allowed = {line.version for line in seen.lines if line.event == "order"}
    verdicts = [line for line in seen.lines if line.event == "verdict"]
    return allowed | {line.version for line in verdicts if (line.data or {}).get("call") == Call.WINS}


def _only_winners_answered(seen: Seen) -> Iterator[str]:
    allowed = _allowed(seen)
    for version in {*seen.counts.answers, *seen.counts.own}:
        if int(version) not in allowed:
            yield f"version {version} answered"


def _champion_serves(seen: Seen) -> Iterator[str]:
    if seen.champion is None or dict(seen.weights) != {seen.champion: WHOLE}:
        yield f"champion is {seen.champion}, served is {dict(seen.weights)}"


def _mark_stays(seen: Seen) -> Iterator[str]:
    moves = [line.version for line in seen.lines if line.event in ("crowned", "order")]
    if moves and moves[-1] != seen.champion:
        yield f"the last move was to version {moves[-1]}, the mark is on {seen.champion}"


def _tagged(seen: Seen) -> Iterator[str]:
    for version in seen.registered:
        call = outcome(seen.lines, version)[0]
        if call in FINAL and seen.tags.get(version) != call and version != seen.champion:
            yield f"version {version}: {call} in the history, {seen.tags.get(version)} in the registry"


def _nobody_comes_back(seen: Seen) -> Iterator[str]:
    for version in seen.registered:
        since = _fell(seen.lines, version)
        last = seen.counts.last.get(str(version))
        if since is not None and last is not None and last > since + GRACE:
            yield f"version {version} answered {last - since:.1f} s after it was taken off"


def _fell(lines: Sequence[Line], version: int) -> float | None:
    """When a version that was rolled back or displaced lost its traffic for good, None where it was neither."""
    fell: float | None = None
    off: float | None = None
    for line in lines:
        data = line.data or {}
        if line.event == "rolled_back" and line.version == version:
            fell, off = line.at, None
        elif line.event == "order":
            if data.get("displaced") == version:
                fell, off = line.at, None
            elif line.version == version:
                fell = off = None
        elif _is_endpoint(line) and fell is not None and off is None:
            off = line.at if str(version) not in (data.get("weights") or {}) else None
    return off


def _launched_once(seen: Seen) -> Iterator[str]:
    up: set[object] = set()
    for line in seen.lines:
        data = line.data or {}
        if line.event == "done" and data.get("verb") == "launch":
            if (line.target, data.get("release")) in up:
                yield f"version {line.version} was launched twice on {line.target}"
            up.add((line.target, data.get("release")))
        elif line.event == "done" and data.get("verb") == "retire":
            up.discard((line.target, data.get("release")))


def _baked(seen: Seen) -> Iterator[str]:
    """Between two steps forward of a canary lies at least one bake."""
    marks = [line for line in seen.lines if _is_endpoint(line) or line.event == "crowned"]
    for before, after in pairwise(marks):
        split = (before.data or {}).get("weights") or {}
        stepped = after.reason == "canary_step" and len(split) > 1
        replaced = after.event == "crowned" and (after.data or {}).get("previous") is not None
        if (stepped or replaced) and after.at - before.at < seen.bake - SLACK:
            yield f"{after.at - before.at:.2f} s at {split}"


def _is_endpoint(line: Line) -> bool:
    """Whether it says what the endpoint serves from then on."""
    return line.event == "live" and line.target == TARGET


def _each_row_once(seen: Seen) -> Iterator[str]:
    scored = seen.scored
    if not scored.rows_in:
        yield "no row came"
    if scored.lost or scored.twice or scored.rows_in != scored.rows_out:
        yield f"{scored.rows_in} rows in, {scored.rows_out} out, {scored.lost} lost, {scored.twice} twice"


def _only_winners_scored(seen: Seen) -> Iterator[str]:
    allowed = _allowed(seen)
    for version, rows in (seen.scored.versions or {}).items():
        if version not in allowed:
            yield f"version {version} scored {rows} rows"
    if seen.scored.last != seen.champion:
        yield f"the newest rows are version {seen.scored.last}'s, the champion is {seen.champion}"


def _runs_whole(seen: Seen) -> Iterator[str]:
    if not seen.scored.runs:
        yield "no batch run was made"
    allowed = _allowed(seen)
    for run in seen.scored.runs:
        if not run.rows == run.read == run.input_rows:
            yield f"{run.folder} says {run.rows} rows, holds {run.read}, and the table had {run.input_rows}"
        if run.version not in allowed:
            yield f"{run.folder} was scored with version {run.version}"


def _went_on(seen: Seen) -> Iterator[str]:
    for at, version in seen.killed:
        before = {(line.data or {}).get("worker") for line in seen.lines if line.at <= at and line.event == "done"}
        after = [line for line in seen.lines if line.at > at]
        if not any(line.event == "done" and (line.data or {}).get("worker") not in before for line in after):
            yield "no other process took a step"
        if not any(line.event in ("crowned", "rolled_back") and line.version == version for line in after):
            yield f"the rollout of version {version} did not end"


_PROMISES: tuple[tuple[str, Callable[[Seen], Iterator[str]]], ...] = (
    ("No request failed, but those that a version's own model cannot answer.", _no_failures),
    ("A version that failed real requests did not stay.", _bad_ones_caught),
    ("Every registered version was judged.", _all_judged),
    ("Only winners, and what a person ordered, answered requests.", _only_winners_answered),
    ("The endpoint serves the registry's champion, and nothing else.", _champion_serves),
    ("The champion's mark is where the last crowning or order put it.", _mark_stays),
    ("Final verdicts stand in the registry.", _tagged),
    ("What was rolled back or displaced did not answer again.", _nobody_comes_back),
    ("No release was launched twice.", _launched_once),
    ("Every canary step was baked in full.", _baked),
    ("Every row that came was scored once, across every swap.", _each_row_once),
    ("Only winners, and what a person ordered, scored rows; the champion the newest.", _only_winners_scored),
    ("Every folder of the batch job is whole, and scored with such a version.", _runs_whole),
    ("What a killed watcher had begun was brought to its end by the next.", _went_on),
)
