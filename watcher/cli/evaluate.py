"""`watcher evaluate`."""

from __future__ import annotations

from watcher.cli.exits import Exit
from watcher.cli.explain import side_by_side
from watcher.cli.models import Model, Number, existing, find_version
from watcher.cli.session import Session
from watcher.errors import UserError
from watcher.evaluations import Evaluated, Evaluation, Progress
from watcher.ports import Evaluator
from watcher.snapshot import evaluation_of
from watcher.text import plain
from watcher.values import Gone, Version
from watcher.views.evaluated import evaluation_json
from watcher.views.show import record_of

EVERY = 0.5
"""Seconds between two looks."""


def evaluate(session: Session, model: Model, version: Number) -> Exit:
    """Score a version beside the champion, now, and show both. Touches neither registry nor ledger nor targets."""
    watched = existing(session, model)
    evaluator = session.app.loop.sources.evaluator
    if watched.policy.evaluate is None or evaluator is None:
        raise UserError(
            f"Policy {plain(watched.policy.name)!r} of model {plain(watched.name)} evaluates nothing;"
            " add `evaluate:` with data, target and metrics to it."
        )
    found, mark = find_version(session, watched, version), session.app.registry.read(watched.name).champion
    champion: Version | Gone | None = session.app.registry.version(watched.name, mark) if mark is not None else None
    if isinstance(champion, Gone):
        raise UserError(f"The champion of model {plain(watched.name)}, version {mark}, does not exist any more.")
    if champion == found:
        champion = None
    asked = evaluation_of(watched, record_of(session.app, watched.name), found, champion)
    if asked is None:
        raise UserError(f"Model {plain(watched.name)} has nothing to evaluate.")
    with session.out.busy(f"Scoring version {version}"):
        seen = over(session, evaluator, asked)
    session.out.give({"model": watched.name, "version": version, "champion": mark} | (evaluation_json(seen) or {}))
    if seen.comparison is None:
        session.out.say(f"{plain(watched.name)} v{version} could not be scored: {plain(seen.why, 500)}")
        return Exit.NO
    against = f" beside v{champion.number}" if champion is not None else ", by itself"
    session.out.say(f"{plain(watched.name)} v{version}{against}:")
    session.out.say()
    side_by_side(session, seen.comparison)
    return Exit.OK


def over(session: Session, evaluator: Evaluator, asked: Evaluation) -> Evaluated:
    """Begin an evaluation, unless it is under way or done, and look until it is over. A failed one is tried again."""
    seen = evaluator.observe(asked)
    if seen.progress is not Progress.DONE:
        evaluator.start(asked)
        seen = evaluator.observe(asked)
    while seen.progress in (Progress.ABSENT, Progress.RUNNING):
        session.pause(EVERY)
        seen = evaluator.observe(asked)
        if seen.progress is Progress.ABSENT:
            evaluator.start(asked)
    return seen
