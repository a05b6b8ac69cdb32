"""`watcher check`."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.cli.exits import Exit
from watcher.cli.models import Found, chosen
from watcher.cli.session import Session
from watcher.errors import Conflict, UserError, WatcherError
from watcher.text import plain

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
            lines += _models(session, watched)
            lines += _targets(session, watched)
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
        return [Line("registry", False, str(error))], []
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


def _models(session: Session, watched: list[Found[Watched]]) -> list[Line]:
    lines = []
    for entry in watched:
        if entry.answer is None:
            lines.append(Line(entry.model, False, str(entry.error)))
        elif not session.app.registry.read(entry.model).exists:
            lines.append(Line(entry.model, None, "the registry has no such model yet"))
    if not watched:
        lines.append(Line("models", None, "no model of the registry is watched yet"))
    names = [entry.model for entry in watched if entry.answer is not None]
    return lines + [Line("places", False, sentence) for sentence in session.app.shared_places(names)]


def _targets(session: Session, watched: list[Found[Watched]]) -> list[Line]:
    lines = []
    for entry in watched:
        for target in entry.answer.targets if entry.answer else ():
            try:
                problems = list(session.app.deployer(target.kind).check(target))
            except WatcherError as error:
                problems = [str(error)]
            failing = [Line(target.key, False, problem) for problem in problems]
            lines += failing or [Line(target.key, True, target.place)]
    return lines


def _tried(what: str, attempt: Callable[[], str]) -> Line:
    try:
        return Line(what, True, attempt())
    except WatcherError as error:
        return Line(what, False, str(error))
