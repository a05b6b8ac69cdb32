"""One version as the judge sees it now, and what the history says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.errors import Terminal, Transient
from watcher.evaluations import Evaluated
from watcher.ports import Line
from watcher.reasons import REASONS
from watcher.record import Record
from watcher.snapshot import Snapshot, evaluation_of
from watcher.values import Call, Finding, Gone, Verdict, Version
from watcher.views.show import record_of

if TYPE_CHECKING:
    from watcher.settings import Watched
    from watcher.views.app import App

TOLD = frozenset({"verdict", "rolled_back", "crowned", "unmet", "order"})
SKEW = 60.0
"""Seconds by which the registry's clock may be ahead: older lines are of an earlier version of the same number."""


@dataclass(frozen=True)
class Explained:
    """A version, its verdict as of now, and its lines, oldest first."""

    snapshot: Snapshot
    version: Version
    verdict: Verdict
    lines: tuple[Line, ...]


def explained(app: App, watched: Watched, version: Version, warn: Callable[[str], None]) -> Explained:
    """Judge one version. What cannot be read of the ledger is left out, and told to `warn`."""
    from watcher.judge import explain as judged

    snapshot = _snapshot(app, watched, version, warn)
    verdict = judged(snapshot, version.number, app.clock())
    return Explained(snapshot, version, verdict, tuple(_recorded(app, version, warn)))


_SILENT = frozenset({"not_in_policy", "no_champion"})
_PLAIN = frozenset({"no_objection", *_SILENT})


def finding_row(finding: Finding) -> tuple[str, str, str, str, str]:
    """Rule, outcome, measured value, bound, and why in a sentence."""
    passes = "passes" if finding.call is Call.WINS else str(finding.call)
    outcome = "–" if finding.reason in _SILENT else passes
    why = _why(finding.reason, finding.detail)
    return finding.rule.replace("_", " "), outcome, finding.measured, finding.bound, why


def _why(reason: str, detail: str) -> str:
    known = REASONS.get(reason)
    said = "" if reason in _PLAIN and detail else known.sentence if known else reason
    return " ".join(filter(None, (said, detail)))


def _snapshot(app: App, watched: Watched, version: Version, warn: Callable[[str], None]) -> Snapshot:
    """Only what judging this one version needs; its evidence, and its champion's."""
    registry = app.registry
    marks = registry.read(watched.name)
    versions: dict[int, Version | Gone] = {version.number: version}
    if marks.champion is not None and marks.champion not in versions:
        versions[marks.champion] = registry.version(watched.name, marks.champion)
    evidence = {number: registry.of(found) for number, found in versions.items() if isinstance(found, Version)}
    try:
        record = record_of(app, watched.name)
    except (Transient, Terminal) as error:
        warn(f"Without the ledger, ages count from now: {error}")
        record = Record(born=app.clock())
    return Snapshot(
        watched,
        record,
        marks,
        (),
        versions,
        evidence,
        evaluations=_evaluations(app, watched, record, version, versions.get(marks.champion or 0), warn),
        newest=max(marks.newest, version.number),
    )


def _evaluations(
    app: App,
    watched: Watched,
    record: Record,
    version: Version,
    champion: Version | Gone | None,
    warn: Callable[[str], None],
) -> dict[int, Evaluated]:
    """What the evaluator has of this version already: looking begins nothing."""
    evaluator = app.loop.sources.evaluator
    if evaluator is None or version == champion or isinstance(champion, Gone):
        return {}
    asked = evaluation_of(watched, record, version, champion)
    if asked is None:
        return {}
    try:
        return {version.number: evaluator.observe(asked)}
    except (Transient, Terminal) as error:
        warn(f"The evaluation cannot be looked at: {error}")
        return {}


def _recorded(app: App, version: Version, warn: Callable[[str], None]) -> list[Line]:
    """Oldest first: the last verdict, and whatever a rollout or an order made of the version."""
    since = version.identity.created_ms / 1000 - SKEW
    try:
        told: list[Line] = []
        for event in sorted(TOLD):
            lines = app.ledger.history(version.identity.name, since=since, event=event)
            mine = [line for line in lines if line.version == version.number]
            told += mine[:1] if event == "verdict" else mine
    except (Transient, Terminal) as error:
        warn(f"The history cannot be read: {error}")
        return []
    return sorted(told, key=lambda line: line.at)
