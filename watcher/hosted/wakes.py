"""Which models to wake, and one wake-up. Every function gives back the names that are to be woken next."""

from __future__ import annotations

import logging
from collections.abc import Callable

from watcher import telemetry
from watcher.errors import Conflict, Transient, UserError, WatcherError
from watcher.heartbeat import beat
from watcher.hosted.host import Host
from watcher.ports import Ledger, Stored
from watcher.record import Record, key_of
from watcher.text import plain

log = logging.getLogger("watcher")

LATER = 30.0
"""Seconds after which a model is looked at again that could not be: the next `poll` after that finds it."""
RACES = 3
"""How often a wake-up looks once more after another worker was faster; then it is brought back as a message."""
LONGEST_NAME = 1_024
"""Characters. Unity Catalog allows three parts of 255."""


def poll(host: Host) -> list[str]:
    """Models that changed, whose marks moved, or that are due; then the heartbeat.

    A registry out of reach keeps nothing that is due from being woken. Raises Transient or Terminal where the ledger
    cannot be written: then there is no heartbeat either.
    """
    poller, app = host.poller, host.app
    found = _asked("changes", "new versions", poller.changes) | _asked("marks", "moved marks", poller.marks)
    # Polls tell what moved once. Where the ledger fails now, this process has it for its next poll.
    host.found.update(found)
    due = poller.due(app.clock())
    for name in sorted(host.found - due):
        _kept(app.ledger, name, app.clock())
    beat(app.ledger, app.clock(), host.schedule)
    telemetry.tick("ledger", ok=True)
    found, host.found = host.found | due, set()
    return sorted(found)


def resync(host: Host) -> list[str]:
    """Every watched model. Raises Transient or Terminal where the registry cannot be read."""
    try:
        found = host.poller.resync()
    except WatcherError:
        telemetry.tick("resync", ok=False)
        raise
    telemetry.tick("resync", ok=True)
    return sorted(found)


def wake(host: Host, message: bytes) -> list[str]:
    """One wake-up of the model that the message names; its name again where a step was taken.

    A message that names no watched model is dropped. Where registry or ledger are out of reach the model is due again
    later. Raises Transient where not even that can be written: then the host brings the message back.
    """
    name = named(message) or ""
    try:
        watched = host.app.watched(name) if name else None
        if watched is None:
            log.warning("dropped a message that names no watched model: %s", plain(message[:200]))
            return []
        woken = host.loop().wake(watched)
        for _ in range(RACES):
            if woken.step.reason != "conflict":
                break
            # Who was faster may have looked before there was what this message is about.
            woken = host.loop().wake(watched)
        return [name] if woken.acted or woken.step.reason == "conflict" else []
    except UserError as error:
        log.error("%s: %s", plain(name), plain(error, 500))  # noqa: TRY400 a mistake in the settings has no traceback
    except WatcherError as error:
        log.warning("%s: %s (keeps serving, tries again)", plain(name), plain(error, 500))
        pause = max(getattr(error, "retry_after", None) or 0.0, LATER)
        postpone(host.app.ledger, name, host.app.clock(), pause)
    return []


def named(message: bytes) -> str | None:
    """The model's name in a message, None where it holds none."""
    try:
        name = message.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return name if 0 < len(name) <= LONGEST_NAME else None


def postpone(ledger: Ledger, model: str, now: float, pause: float) -> None:
    """Have the model found by `poll` in `pause` seconds. Somebody else's write in between has its own time."""
    _due(ledger, model, ledger.load(key_of(model)), now, pause)


def _kept(ledger: Ledger, model: str, now: float) -> None:
    """Have the model found again, in case its message gets lost before a wake-up looked: that takes the time back.

    One that is due within the lease of a step, or soon anyway, is left alone: its worker must find its own revision.
    """
    stored = ledger.load(key_of(model))
    if stored is not None and stored.due is not None and (stored.body.get("intent") or stored.due <= now + LATER):
        return
    _due(ledger, model, stored, now, LATER)


def _due(ledger: Ledger, model: str, stored: Stored | None, now: float, pause: float) -> None:
    body = stored.body if stored else Record(born=now).to_json()
    try:
        ledger.save(key_of(model), body, stored.revision if stored else None, due=now + pause)
    except Conflict:
        return


def _asked(kind: str, what: str, ask: Callable[[], set[str]]) -> set[str]:
    try:
        found = ask()
        telemetry.tick(kind, ok=True)
        return found
    except Transient as error:
        log.warning("could not look for %s: %s (the next poll looks again)", what, plain(error, 500))
    except WatcherError as error:
        log.error("could not look for %s: %s", what, plain(error, 500))  # noqa: TRY400 no traceback for a refusal
    telemetry.tick(kind, ok=False)
    return set()
