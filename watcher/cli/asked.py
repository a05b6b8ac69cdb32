"""A person's order: written into the ledger first, where that is reachable, so that no step under way undoes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from watcher.cli.session import Session
from watcher.errors import Conflict, Terminal, Transient, WatcherError
from watcher.ports import Ledger, Line
from watcher.record import Intent, Record, from_json, key_of
from watcher.views.times import span

PATIENCE = 10.0
"""Seconds for which an order waits for the step under way; then it goes ahead, and that step's outcome is not kept."""
LOOK = 0.1
LEASE = 30.0
"""Seconds for which no worker acts on the model while an order is written into the registry."""
TRIES = 20


def carry_out(
    session: Session,
    model: str,
    order: str,
    write: Callable[[], None],
    *,
    version: int | None = None,
    target: str | None = None,
    detail: str = "",
    alone: bool = False,
) -> bool:
    """Record the order, then write it; whether it could be recorded.

    `alone`: no worker acts on the model meanwhile. Raises what `write` raises, and Conflict where the record kept
    being written by others.
    """
    data = {"order": order, "who": session.who} | ({"detail": detail} if detail else {})
    line = Line(session.app.clock(), model, "order_asked", target, version, data=data)
    worker = f"order:{session.app.loop.worker}"
    try:
        _announce(session, line, worker if alone else None)
    except (Transient, Terminal) as error:
        session.out.warn(f"The order is not in the history: {error}")
        write()
        return False
    try:
        write()
    except WatcherError as error:
        why = {"verb": "order", "detail": str(error)}
        failed = Line(session.app.clock(), model, "failed", target, version, data=why)
        _release(session, model, worker, failed)
        raise
    _release(session, model, worker)
    return True


def _announce(session: Session, line: Line, worker: str | None) -> None:
    app = session.app
    patient_until = app.clock() + PATIENCE
    told = False
    for _ in range(TRIES):
        stored, record = _read(app.ledger, line.model, app.clock())
        while worker and record.intent and app.clock() < min(record.intent.until, patient_until):
            if not told:
                left = span(min(record.intent.until, patient_until) - app.clock())
                session.out.warn(f"A step is under way ({record.intent.step}); waiting for it, {left} at most …")
                told = True
            session.pause(LOOK)
            stored, record = _read(app.ledger, line.model, app.clock())
        now = app.clock()
        due = now
        busy = record.intent is not None and record.intent.until > now
        if worker and not busy:
            due = now + LEASE
            record = replace(record, intent=Intent(worker, due, f"order:{_order(line)}"))
        try:
            app.ledger.save(key_of(line.model), record.to_json(), stored, (line,), due)
        except Conflict:
            continue
        return
    raise Conflict(f"The record of {line.model} was written by others {TRIES} times in a row; give the order again.")


def _release(session: Session, model: str, worker: str, *lines: Line) -> None:
    """Let the workers act again, at once. Where that fails the lease ends by itself."""
    for _ in range(TRIES):
        try:
            now = session.app.clock()
            stored, record = _read(session.app.ledger, model, now)
            mine = record.intent is not None and record.intent.worker == worker
            if not mine and not lines:
                return
            freed = replace(record, intent=None) if mine else record
            session.app.ledger.save(key_of(model), freed.to_json(), stored, lines, now)
        except Conflict:
            continue
        except (Transient, Terminal):
            return
        return


def _read(ledger: Ledger, model: str, now: float) -> tuple[str | None, Record]:
    stored = ledger.load(key_of(model))
    if stored is None:
        return None, Record(born=now)
    try:
        return stored.revision, from_json(stored.body)
    except ValueError:
        return stored.revision, Record(born=now)


def _order(line: Line) -> Any:
    return (line.data or {}).get("order")
