"""`watcher explain`."""

from __future__ import annotations

from watcher.cli.models import Model, Number, existing, find_version
from watcher.cli.session import Session
from watcher.evaluations import Comparison
from watcher.sentences import render, stamp
from watcher.text import plain
from watcher.views.evaluated import HEAD, comparison_line, evaluation_json, score_rows
from watcher.views.explained import explained, finding_row
from watcher.views.lines import line_json, line_text
from watcher.views.show import verdict_json, verdict_line


def explain(session: Session, model: Model, version: Number) -> None:
    """Show what each rule says of a version, and what became of it."""
    watched = existing(session, model)
    with session.out.busy("Reading the registry"):
        found = find_version(session, watched, version)
        told = explained(session.app, watched, found, session.out.warn)
    verdict, champion = told.verdict, told.snapshot.marks.champion
    evaluated = told.snapshot.evaluations.get(version)
    session.out.give(
        {"model": model, "tag": found.call}
        | verdict_json(verdict)
        | {
            "champion": champion,
            "evaluation": evaluation_json(evaluated),
            "history": [line_json(line) for line in told.lines],
        }
    )
    against = f" against v{champion}" if champion else ""
    if champion == version:
        against = " (the champion, compared with itself)"
    given = [line for line in told.lines if line.event in ("verdict", "rolled_back", "unmet")]
    if found.call is not None and found.call is not verdict.call:
        # What it was called is what counts; what the rules say against today's champion comes after it.
        session.out.say(f"{plain(model)} v{version} was called `{found.call}`.")
        for line in given[-1:]:
            session.out.say(f"{stamp(line.at)}: {render(line)}")
    session.out.say(f"{plain(model)} v{version}{against}, judged now: {verdict_line(verdict)}")
    session.out.say()
    rows = [finding_row(finding) for finding in verdict.findings]
    if rows:
        session.out.table(("rule", "outcome", "measured", "bound", "why"), rows)
        session.out.say()
    if evaluated is not None and evaluated.comparison is not None:
        side_by_side(session, evaluated.comparison)
    session.out.say(f"Its tag says: {found.call or 'nothing yet'}.")
    for line in told.lines:
        session.out.say(line_text(line))


def side_by_side(session: Session, comparison: Comparison) -> None:
    """Champion and challenger, metric by metric."""
    session.out.table(HEAD, score_rows(comparison))
    session.out.say(comparison_line(comparison))
    session.out.say()
