"""`watcher backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from watcher.cli.evaluate import over
from watcher.cli.models import Model, existing
from watcher.cli.session import Session
from watcher.errors import Terminal, Transient, UserError
from watcher.evaluations import Evaluated
from watcher.reasons import REASONS
from watcher.record import Record
from watcher.sentences import stamp
from watcher.settings import Watched
from watcher.snapshot import evaluation_of
from watcher.text import plain
from watcher.values import Call, EvidenceOf, Version
from watcher.views.backtested import Replayed, replayed, replayed_json

MOST = 1_000
HEAD = ("version", "registered", "against", "would be", "was", "", "why")

PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy", metavar="FILE", help="Settings whose policy for this model is tried; by default the settings' own."
    ),
]


def backtest(session: Session, model: Model, policy: PolicyFile = None) -> None:
    """Replay a policy over every version, changing nothing."""
    watched = existing(session, model)
    if policy is not None:
        watched = _tried(session, watched, policy)
    versions = sorted(session.app.registry.versions(watched.name, 0, MOST), key=lambda v: v.number)
    with session.out.busy(f"Judging {len(versions)} versions"):
        entries = replayed(
            watched,
            versions,
            lambda version: _evidence(session, version),
            lambda version, champion: _evaluated(session, watched, version, champion),
            session.app.clock(),
        )
    champion, last = session.app.registry.read(watched.name).champion, _last(entries)
    session.out.give(
        {"model": watched.name, "policy": watched.policy.name, "champion": champion, "would_reign": last}
        | {"versions": [replayed_json(entry) for entry in entries]}
    )
    session.out.table(HEAD, [_row(entry) for entry in entries])
    session.out.say()
    reigns = f"v{last} would reign" if last is not None else "no version would reign"
    now = f"v{champion} does" if champion is not None else "none does"
    differ = sum(entry.differs for entry in entries)
    differs = "1 verdict differs" if differ == 1 else f"{differ} verdicts differ"
    session.out.say(f"By policy {plain(watched.policy.name)} {reigns}, and {now}; {differs}.")


def _tried(session: Session, watched: Watched, path: Path) -> Watched:
    """The model with the policy that another file of settings has for it."""
    from watcher import wiring

    other = wiring.load(path).watched(watched.name)
    if other is None:
        raise UserError(f"{path} says nothing about model {plain(watched.name)}: name it there under `models:`.")
    session.out.warn(f"The policy {plain(other.policy.name)!r} of {path} is tried; nothing is changed.")
    return Watched(watched.name, watched.mode, other.policy, watched.rollout, watched.targets)


def _evidence(session: Session, version: Version) -> EvidenceOf | None:
    try:
        found: EvidenceOf = session.app.registry.of(version)
    except (Transient, Terminal) as error:
        session.out.warn(f"The evidence of v{version.number} cannot be read: {error}")
        return None
    return found


def _evaluated(session: Session, watched: Watched, version: Version, champion: Version | None) -> Evaluated | None:
    """Scored in a folder of its own, so that trying a policy costs the real one no looks at its holdout."""
    asked = evaluation_of(watched, Record(born=0.0), version, champion)
    return over(session, session.app.trials(), asked) if asked is not None else None


def _last(entries: list[Replayed]) -> int | None:
    return next((entry.version.number for entry in reversed(entries) if entry.reigns), None)


def _row(entry: Replayed) -> tuple[str, ...]:
    verdict = entry.verdict
    known = REASONS.get(verdict.reason)
    finding = next((f for f in verdict.findings if f.call is verdict.call and f.reason == verdict.reason), None)
    measured = next((f.measured for f in verdict.findings if f.rule == "primary_gains"), "")
    numbers = measured if verdict.call is Call.WINS else finding.measured if finding else ""
    said = known.sentence if known else verdict.reason
    return (
        f"v{entry.version.number}",
        stamp(entry.version.identity.created_ms / 1000),
        f"v{entry.against}" if entry.against is not None else "–",
        "champion" if entry.reigns else str(verdict.call),
        entry.was,
        "differs" if entry.differs else "",
        f"{said} {numbers}".strip(),
    )
