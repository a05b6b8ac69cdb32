"""One model: how it is, what goes on, what a person can do, and how it came to this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from watcher.page import state
from watcher.page.known import Memory
from watcher.page.orders import Desk
from watcher.page.overview import trouble
from watcher.page.versions import reigns, said, versions
from watcher.ports import Ledger, Line
from watcher.record import Record
from watcher.settings import Watched
from watcher.snapshot import Snapshot
from watcher.text import plain
from watcher.values import Verb
from watcher.views.app import App
from watcher.views.exposed import Exposed, exposed
from watcher.views.lines import line_json
from watcher.views.models import named
from watcher.views.show import Planned, planned, record_of, step_line, verdict_json
from watcher.views.status import status_json

MOST_VERDICTS = 400
MOST_REIGNS = 40
MOST_LIVE = 500
NEWEST = 12
"""Lines of the history that are shown with a model: steps once they were taken, and one that is under way."""
ROLLED_BACK = 3
"""Rollouts that failed, the newest, which are shown with what their version answered."""


@dataclass(frozen=True, slots=True)
class Past:
    """What the ledger says of one model: a fixed number of bounded questions, whatever the length of the history."""

    record: Record
    newest: tuple[Line, ...]
    """The newest first; the others in any order."""
    judged: tuple[Line, ...]
    became: tuple[Line, ...]
    asked: tuple[Line, ...]
    live: tuple[Line, ...]
    wrote: tuple[Line, ...]

    @property
    def rolled_back(self) -> list[Line]:
        lines = [line for line in self.became if line.event == "rolled_back"]
        return sorted(lines, key=lambda line: -line.at)[:ROLLED_BACK]


def model(app: App, memory: Memory, watched: Watched, desk: Desk) -> dict[str, Any] | None:
    """Everything that is shown of one model; None where nobody knows it: settings, registry or history."""
    name = watched.name
    now, past = memory.ask(
        {("now", name): lambda: planned(app, watched), ("past", name): lambda: past_of(app, name)},
    )
    plan: Planned | None = now.value
    told: Past | None = past.value
    if name not in named(app) and _nowhere(plan, told):
        return None
    snapshot = _measured(app, memory, plan.snapshot, told.judged if told else ()) if plan else None
    lines = [*told.judged, *told.became] if told else []
    primary = watched.policy.primary
    return {
        "model": name,
        "mode": watched.mode,
        "policy": watched.policy.name,
        "owner": app.settings.owner,
        "read": now.at,
        "trouble": [*trouble("The registry", now), *trouble("The ledger", past)],
        "state": state.of_plan(plan) if plan else state.UNKNOWN,
        "status": status_json(plan) if plan else None,
        "says": _says(plan),
        "remembered": _remembered(told.record) if told and not plan else None,
        "orders": desk.about_model(plan) if plan else (),
        "judged": [verdict_json(verdict) for _, verdict in sorted(plan.verdicts.items())] if plan else [],
        "primary": {
            "metric": primary.metric,
            "better": primary.better,
            "floor": watched.policy.floors.get(primary.metric),
            "ceiling": watched.policy.ceilings.get(primary.metric),
        },
        "versions": versions(lines, snapshot, watched.policy),
        "reigns": reigns([*lines, *told.asked]) if told else [],
        "rolled_back": [_rolled_back(line, told) for line in told.rolled_back] if told else [],
        "history": [line_json(line) | {"said": said(line)} for line in told.newest] if told else [],
    }


def _measured(app: App, memory: Memory, snapshot: Snapshot, judged: Iterable[Line]) -> Snapshot:
    """With the numbers of a champion that was never judged here: the others are shown beside them."""
    champion, known = snapshot.champion, {*snapshot.evidence, *(line.version for line in judged)}
    if champion is None or champion.number in known:
        return snapshot
    evidence = app.loop.sources.evidence
    (read,) = memory.ask({("evidence", champion.identity): lambda: evidence.of(champion)})
    return replace(snapshot, evidence={**snapshot.evidence, champion.number: read.value}) if read.value else snapshot


def past_of(app: App, name: str) -> Past:
    """Raises Transient where the ledger is out of reach."""
    ledger = app.ledger
    return Past(
        record_of(app, name),
        tuple(_telling(ledger.history(name, most=2 * NEWEST))),
        tuple(ledger.history(name, event="verdict", most=MOST_VERDICTS)),
        tuple(_of(ledger, name, ("crowned", "order", "rolled_back", "unmet"), MOST_REIGNS)),
        tuple(ledger.history(name, event="order_asked", most=MOST_REIGNS)),
        tuple(ledger.history(name, event="live", most=MOST_LIVE)),
        tuple(ledger.history(name, event="wrote", most=MOST_LIVE)),
    )


def _telling(newest: Sequence[Line]) -> list[Line]:
    return [line for index, line in enumerate(newest) if line.event != "intent" or index == 0][:NEWEST]


def _of(ledger: Ledger, name: str, events: Iterable[str], most: int) -> Iterable[Line]:
    for event in events:
        yield from ledger.history(name, event=event, most=most)


def _nowhere(plan: Planned | None, told: Past | None) -> bool:
    return plan is not None and not plan.snapshot.marks.exists and told is not None and not told.newest


def _says(plan: Planned | None) -> str:
    if plan is None:
        return ""
    step, name = plan.decision.step, plain(plan.snapshot.watched.name)
    text = step_line(plan.snapshot.watched.name, step).removeprefix(f"{name}: ")
    return text.removeprefix("waits. ") if step.verb is Verb.WAIT else text[:1].upper() + text[1:]


def _remembered(record: Record) -> Mapping[str, Any]:
    """What the loop last wrote down, for as long as nobody can look."""
    reason, detail = state.waits(record)
    return {
        "rollout": record.rollout,
        "live": {name: dict(weights) for name, weights in record.live.items()},
        "reason": reason or None,
        "detail": plain(detail, 500),
    }


def _rolled_back(line: Line, past: Past) -> dict[str, Any]:
    since = [stretch for stretch in exposed(past.live, line.model, line.version or 0) if stretch.since <= line.at]
    return {
        "version": line.version,
        "at": line.at,
        "reason": line.reason,
        "said": said(line),
        "served": since,
        "answered": total(since),
        "wrote": wrote(past.wrote, line.version),
    }


def wrote(lines: Iterable[Line], version: int | None, since: float = 0.0) -> list[dict[str, Any]]:
    """What jobs wrote with a version: for each target what was told last, with the sentence that says it."""
    newest: dict[str, Line] = {}
    told = [*lines]
    # The ledger gives the newest first; of one moment too, and a sort keeps these as they are.
    told.reverse()
    told.sort(key=lambda line: line.at)
    for line in told:
        if line.version == version and line.at >= since:
            newest[line.target or ""] = line
    return [{**(line.data or {}), "target": target, "said": said(line)} for target, line in sorted(newest.items())]


def total(stretches: Iterable[Exposed]) -> dict[str, int | float | None]:
    """All stretches together: answers and errors as far as they were counted, from when to when."""
    every = list(stretches)
    counted = [stretch for stretch in every if stretch.requests is not None]
    ends = [stretch.until for stretch in every]
    return {
        "requests": sum(stretch.requests or 0 for stretch in counted) if counted else None,
        "errors": sum(stretch.errors or 0 for stretch in counted) if counted else None,
        "since": min((stretch.since for stretch in every), default=None),
        "until": None if None in ends else max((end for end in ends if end is not None), default=None),
    }
