"""`watcher explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.cli.history import line_json, line_text
from watcher.cli.models import Model, Number, existing, find_version
from watcher.cli.session import Session
from watcher.cli.show import record_of, verdict_json, verdict_line
from watcher.errors import Terminal, Transient
from watcher.ports import Line
from watcher.reasons import REASONS
from watcher.text import plain
from watcher.values import Finding, Gone, Version

if TYPE_CHECKING:
    from watcher.settings import Watched
    from watcher.snapshot import Snapshot

TOLD = frozenset({"verdict", "rolled_back", "crowned", "unmet", "order"})
SKEW = 60.0
"""Seconds by which the registry's clock may be ahead: older lines are of an earlier version of the same number."""


def explain(session: Session, model: Model, version: Number) -> None:
    """Show what each rule says of a version, and what became of it."""
    from watcher.judge import explain as judged

    watched = existing(session, model)
    with session.out.busy("Reading the registry"):
        found = find_version(session, watched, version)
        snapshot = _snapshot(session, watched, found)
    verdict = judged(snapshot, version, session.app.clock())
    lines = _recorded(session, found)
    session.out.give(
        {"model": model, "tag": found.call}
        | verdict_json(verdict)
        | {"champion": snapshot.marks.champion, "history": [line_json(line) for line in lines]}
    )
    against = f" against v{snapshot.marks.champion}" if snapshot.marks.champion else ""
    if snapshot.marks.champion == version:
        against = " (the champion, compared with itself)"
    session.out.say(f"{plain(model)} v{version}{against}, judged now: {verdict_line(verdict)}")
    session.out.say()
    rows = [_row(finding) for finding in verdict.findings]
    if rows:
        session.out.table(("rule", "outcome", "measured", "bound", "why"), rows)
        session.out.say()
    session.out.say(f"Its tag says: {found.call or 'nothing yet'}.")
    for line in lines:
        session.out.say(line_text(line))


_SILENT = frozenset({"not_in_policy", "no_champion"})
_PLAIN = frozenset({"no_objection", *_SILENT})


def _row(finding: Finding) -> tuple[str, str, str, str, str]:
    outcome = "–" if finding.reason in _SILENT else str(finding.call)
    why = _why(finding.reason, finding.detail)
    return finding.rule.replace("_", " "), outcome, finding.measured, finding.bound, why


def _why(reason: str, detail: str) -> str:
    known = REASONS.get(reason)
    said = "" if reason in _PLAIN and detail else known.sentence if known else reason
    return " ".join(filter(None, (said, detail)))


def _snapshot(session: Session, watched: Watched, version: Version) -> Snapshot:
    """Only what judging this one version needs; its evidence, and its champion's."""
    from watcher.snapshot import Snapshot

    registry = session.app.registry
    marks = registry.read(watched.name)
    versions: dict[int, Version | Gone] = {version.number: version}
    if marks.champion is not None and marks.champion not in versions:
        versions[marks.champion] = registry.version(watched.name, marks.champion)
    evidence = {number: registry.of(found) for number, found in versions.items() if isinstance(found, Version)}
    try:
        record = record_of(session, watched.name)
    except (Transient, Terminal) as error:
        from watcher.record import Record

        session.out.warn(f"Without the ledger, ages count from now: {error}")
        record = Record(born=session.app.clock())
    return Snapshot(watched, record, marks, (), versions, evidence, newest=max(marks.newest, version.number))


def _recorded(session: Session, version: Version) -> list[Line]:
    """Oldest first: the last verdict, and whatever a rollout or an order made of the version."""
    since = version.identity.created_ms / 1000 - SKEW
    try:
        told: list[Line] = []
        for event in sorted(TOLD):
            lines = session.app.ledger.history(version.identity.name, since=since, event=event)
            mine = [line for line in lines if line.version == version.number]
            told += mine[:1] if event == "verdict" else mine
    except (Transient, Terminal) as error:
        session.out.warn(f"The history cannot be read: {error}")
        return []
    return sorted(told, key=lambda line: line.at)
