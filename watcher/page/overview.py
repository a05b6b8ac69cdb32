"""All watched models at a glance: what their marks say, and what is remembered of them. No target is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from watcher import heartbeat
from watcher.errors import UserError, WatcherError
from watcher.heartbeat import Beat
from watcher.page import state
from watcher.page.known import Known, Memory
from watcher.reasons import REASONS
from watcher.record import Record
from watcher.settings import Watched
from watcher.text import plain
from watcher.values import Call, Marks, Mode
from watcher.views.app import App
from watcher.views.models import Found, each, named, watched_of
from watcher.views.show import record_of

AT_A_TIME = 50
"""Models of one page: as many records of the ledger are read for it."""
TONES = ("bad", "warn", "busy", "idle", "good")
"""What needs a person first."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Every watched model with its marks; None where the registry did not say."""

    models: tuple[Found[Watched], ...]
    marks: Mapping[str, Marks]
    there: frozenset[str] | None = None
    """Names that the registry lists, None where it did not answer."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the ledger says of a model, and whether its champion is an order that cannot be met."""

    record: Record
    unmet: bool = False


def overview(app: App, memory: Memory, number: int, wanted: str) -> dict[str, Any]:
    """Page `number` (from 1) of the models whose name contains `wanted`: those first in which something goes on."""
    swept, beat = memory.ask({"sweep": lambda: _sweep(app), "heartbeat": lambda: heartbeat.last(app.ledger)})
    sweep: Sweep = swept.value or Sweep(tuple(watched_of(app, named(app))), {})
    found = [entry for entry in sweep.models if wanted.lower() in entry.model.lower()]
    found.sort(key=lambda entry: (_at_rest(entry, _marks(sweep, entry.model)), entry.model))
    pages = max(-(-len(found) // AT_A_TIME), 1)
    number = min(number, pages)
    shown = found[(number - 1) * AT_A_TIME : number * AT_A_TIME]
    (records,) = memory.ask({("records", *(e.model for e in shown)): lambda: _records(app, shown, sweep.marks)})
    remembered: Mapping[str, Remembered] = records.value or {}
    models = [_entry(entry, _marks(sweep, entry.model), remembered.get(entry.model)) for entry in shown]
    models.sort(key=lambda told: TONES.index(told["state"].tone))
    return {
        "owner": app.settings.owner,
        "trouble": [*trouble("The registry", swept), *trouble("The ledger", records)],
        "heartbeat": _heartbeat(beat.value, app.clock()),
        "models": models,
        "watched": len(sweep.models),
        "found": len(found),
        "page": number,
        "pages": pages,
        "wanted": wanted,
    }


def _heartbeat(beat: Beat | None, now: float) -> dict[str, Any] | None:
    """When a host's timer fired last, and whether it has missed too many since; None where no timer ever did."""
    if beat is None:
        return None
    return {"at": beat.at, "stale": beat.until is not None and now > beat.until}


def trouble(what: str, known: Known) -> list[dict[str, Any]]:
    """Why something is not as of now, and what is shown instead; empty where it is."""
    if known.problem is None:
        return []
    return [{"what": what, "why": known.problem, "since": known.since, "last": known.at}]


def _sweep(app: App) -> Sweep:
    there = frozenset(app.registry.names())
    models = watched_of(app, [*there, *named(app)])
    known: dict[str, Marks] = dict(app.registry.marks([entry.model for entry in models]))
    return Sweep(tuple(models), known, there)


def _marks(sweep: Sweep, name: str) -> Marks | None:
    """Marks of a model; one that the registry does not list is shown as not there, which its own page makes sure of."""
    absent = sweep.there is not None and name not in sweep.there
    return sweep.marks.get(name) or (Marks(name, exists=False) if absent else None)


def _records(app: App, shown: list[Found[Watched]], marks: Mapping[str, Marks]) -> Mapping[str, Remembered]:
    def remembered(watched: Watched) -> Remembered:
        mine = marks.get(watched.name)
        open_order = mine is not None and mine.crown is not None and not mine.crown.met and mine.champion is not None
        # Only its tag tells an order that is on its way from one that cannot be met.
        champion = app.registry.version(watched.name, mine.champion) if open_order and mine else None
        return Remembered(record_of(app, watched.name), getattr(champion, "call", None) is Call.UNMET)

    found = each(shown, remembered)
    error = next((e.error for e in found if isinstance(e.error, WatcherError) and not _of_settings(e.error)), None)
    if error is not None:
        raise error
    return {entry.model: entry.answer for entry in found if entry.answer is not None}


def _of_settings(error: WatcherError) -> bool:
    return isinstance(error, UserError)


def _at_rest(entry: Found[Watched], marks: Marks | None) -> bool:
    if marks is None or entry.error is not None:
        return False
    return state.of_marks(marks, None) in (state.SERVING, state.NOT_SERVING)


def _entry(entry: Found[Watched], marks: Marks | None, remembered: Remembered | None) -> dict[str, Any]:
    record = remembered.record if remembered else None
    told: dict[str, Any] = {"model": entry.model, "problem": plain(entry.error, 500) if entry.error else None}
    watched = entry.answer
    is_state = state.UNKNOWN if marks is None else state.of_marks(marks, record)
    if watched is not None and watched.mode is Mode.ADVISE and is_state is state.SERVING:
        is_state = state.ADVISING
    if entry.error is not None:
        is_state = replace(state.STUCK, code="settings", word="Mistake in the settings")
    reason, detail = state.waits(record)
    if remembered is not None and remembered.unmet:
        is_state, reason, detail = state.UNMET, "order_unmet", ""
    known = REASONS.get(reason)
    return told | {
        "state": is_state,
        "mode": watched.mode if watched else None,
        "champion": marks.champion if marks else None,
        "since": record.crowned_at or None if record else None,
        "challenger": marks.challenger if marks else None,
        "rollout": record.rollout if record else None,
        "hold": marks.hold if marks else None,
        "serves": {t.name: dict(record.live[t.name]) for t in watched.targets if t.name in record.live}
        if watched and record
        else {},
        "reason": reason or None,
        "because": known.sentence if known else "",
        "remedy": state.remedy(reason),
        "detail": plain(detail, 500),
    }
