"""`watcher check`."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.cli.exits import Exit
from watcher.cli.models import chosen
from watcher.cli.session import Session
from watcher.errors import Conflict, UserError, WatcherError
from watcher.ports import Deployer, mirrors
from watcher.record import left_behind
from watcher.text import plain, without_secrets
from watcher.values import Example, Kind, Rollout, Target
from watcher.views.models import Found, named, watched_of
from watcher.views.show import left_lines, record_of

if TYPE_CHECKING:
    from watcher.settings import Watched

KEY = "#check"
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Line:
    """One thing that was checked; `ok` is None where it cannot be known without changing something."""

    what: str
    ok: bool | None
    detail: str = ""


def check(session: Session) -> Exit:
    """Check that everything works that the settings name.

    Each line is ok, or fails with what to do. Nothing is created or moved.
    """
    lines = _settings(session)
    if not lines:
        with session.out.busy("Checking the registry, the ledger and every target"):
            lines = [Line("settings", True, str(session.config))]
            registry, watched = _registry(session)
            lines += registry
            lines += _ledger(session)
            lines += _notify(session)
            lines += _models(session, watched, read=registry[0].ok is True)
            lines += _probes(session, watched)
            lines += _evaluations(session, watched)
            lines += _targets(session, watched)
            lines += _left(session, watched)
    failed = [line for line in lines if line.ok is False]
    session.out.give({"ok": not failed, "checks": lines})
    session.out.table(("check", "", "detail"), [(line.what, _mark(line), line.detail) for line in lines])
    if failed:
        session.out.say()
        session.out.say(f"{len(failed)} of {len(lines)} checks failed.")
    return Exit.NO if failed else Exit.OK


def _mark(line: Line) -> str:
    return "?" if line.ok is None else "ok" if line.ok else "FAILS"


def _settings(session: Session) -> list[Line]:
    try:
        _ = session.app
    except UserError as error:
        return [Line("settings", False, each) for each in str(error).splitlines()]
    return []


def _registry(session: Session) -> tuple[list[Line], list[Found[Watched]]]:
    from watcher.registry.errors import place

    uri = session.app.settings.registry.uri
    begun = time.monotonic()
    try:
        session.app.registry.names()
        # The first call imports and connects; the second is what a poll costs.
        begun = time.monotonic()
        watched = chosen(session, None)
    except WatcherError as error:
        # What the settings name outright is known without it.
        unread = Line("models", None, "not known while the registry cannot be read; checked are those with a `name`")
        return [Line("registry", False, str(error)), unread], watched_of(session.app, named(session.app))
    took = (time.monotonic() - begun) * 1000
    return [Line("registry", True, f"{place(uri)}, lists its models in {took:.0f} ms"), _writable(uri)], watched


def _writable(uri: str) -> Line:
    if not uri.startswith(SQLITE):
        return Line("registry, writing", None, "not known before the first tag is written")
    path = Path(uri.removeprefix(SQLITE))
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return Line("registry, writing", True, "its file may be written")
    return Line("registry, writing", False, f"{path} and its folder must be writable for the user who runs this")


def _ledger(session: Session) -> list[Line]:
    ledger, address = session.app.ledger, session.app.settings.ledger

    def touch() -> str:
        stored = ledger.load(KEY)
        # Where somebody else just wrote it, it can be written.
        with contextlib.suppress(Conflict):
            ledger.save(KEY, {"format": 1, "at": session.app.clock()}, stored.revision if stored else None)
        return plain(address)

    lines = [_tried("ledger", touch)]
    return lines + [Line("ledger, file", None, note) for note in session.app.notes]


def _notify(session: Session) -> list[Line]:
    from watcher.messenger import service_of

    lines = []
    for number, url in enumerate(session.app.settings.notify.urls):
        try:
            lines.append(Line(f"notify.urls[{number}]", True, service_of(number, url)))
        except UserError as error:
            lines.append(Line(f"notify.urls[{number}]", False, str(error)))
    return lines


def _models(session: Session, watched: list[Found[Watched]], *, read: bool) -> list[Line]:
    """`read`: whether the registry can be."""
    lines = []
    for entry in watched:
        if entry.answer is None:
            lines.append(Line(entry.model, False, str(entry.error)))
        elif read:
            lines += _model(session, entry.model)
    if read and not watched:
        lines.append(Line("models", None, "no model of the registry is watched yet"))
    names = [entry.model for entry in watched if entry.answer is not None]
    return lines + [Line("places", False, sentence) for sentence in session.app.shared_places(names)]


def _probes(session: Session, watched: list[Found[Watched]]) -> list[Line]:
    """The files with which rollouts of these models probe."""
    files = {entry.answer.rollout.probe_file for entry in watched if entry.answer is not None}
    sample = session.app.loop.sources.sample
    return [_tried("probe", functools.partial(_sampled, sample, name)) for name in sorted(filter(None, files))]


def _evaluations(session: Session, watched: list[Found[Watched]]) -> list[Line]:
    """What evaluates for the policies of these models."""
    evaluator = session.app.loop.sources.evaluator
    policies = {entry.answer.policy.name: entry.answer.policy for entry in watched if entry.answer is not None}
    lines = []
    for name, policy in sorted(policies.items()):
        if evaluator is None or policy.evaluate is None:
            continue
        what = f"policies.{name}.evaluate"
        try:
            problems = list(evaluator.check(policy.evaluate))
        except WatcherError as error:
            problems = [str(error)]
        found = [Line(what, False, problem) for problem in problems]
        lines += found or [Line(what, True, f"runner {policy.evaluate.runner}")]
    return lines


def _sampled(sample: Callable[[str], Example], name: str) -> str:
    sample(name)
    return plain(name)


def _model(session: Session, name: str) -> list[Line]:
    try:
        marks = session.app.registry.read(name)
    except WatcherError as error:
        return [Line(name, False, str(error))]
    if marks.problem is not None:
        return [Line(name, False, marks.problem)]
    return [] if marks.exists else [Line(name, None, "the registry has no such model yet")]


def _targets(session: Session, watched: list[Found[Watched]]) -> list[Line]:
    lines = []
    for answer in (entry.answer for entry in watched if entry.answer is not None):
        for target in answer.targets:
            try:
                problems = list(session.app.deployer(target.kind).check(target))
                problems += [slow] if (slow := session.app.too_slow(target)) else []
                problems += _objections(session, target)
                problems += _mirror(session.app.deployer(target.kind), target, answer.rollout)
            except WatcherError as error:
                problems = [str(error)]
            failing = [Line(target.key, False, problem) for problem in problems]
            lines += failing or [Line(target.key, True, without_secrets(target.place))]
    return lines


def _objections(session: Session, target: Target) -> list[str]:
    """What is known of the model's versions. A registry that cannot be read has its own line."""
    with contextlib.suppress(WatcherError):
        return list(session.app.objections(target, session.app.registry.read(target.model)))
    return []


def _mirror(deployer: Deployer, target: Target, rollout: Rollout) -> list[str]:
    if not rollout.mirror or target.shape is not Kind.ENDPOINT or mirrors(deployer):
        return []
    said = f"The kind {target.kind} cannot mirror requests, and the rollout {rollout.name} does"
    return [f"{said}: give this model a rollout without `mirror`."]


def _left(session: Session, watched: list[Found[Watched]]) -> list[Line]:
    lines = []
    for entry in watched:
        # A ledger that cannot be read has its own line.
        with contextlib.suppress(WatcherError):
            names = [target.name for target in entry.answer.targets] if entry.answer else []
            left = left_behind(record_of(session.app, entry.model), names) if entry.answer else {}
            lines += [Line(f"{entry.model}/{name}", None, told) for name, told in left_lines(entry.model, left)]
    return lines


def _tried(what: str, attempt: Callable[[], str]) -> Line:
    try:
        return Line(what, True, attempt())
    except WatcherError as error:
        return Line(what, False, str(error))
