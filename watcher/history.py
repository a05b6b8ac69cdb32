"""What was live where at any moment, and why, from the lines of the history. Pure; only `read_live` asks the ledger.

Every line has `at`, `model` and `event`; the shape of `data` is given with each event. All keys are optional.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from watcher.ports import Ledger, Line
from watcher.sentences import render, stamp, weights_of
from watcher.values import Verb

__all__ = ["DECISIONS", "EVENTS", "Live", "explain", "live_at", "read_live", "render", "stamp", "timeline"]

EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "seen": "A version was seen for the first time.",
        "verdict": "A version was judged. {call, reason, findings: [{rule, call, reason, measured, bound, detail}]}",
        "intent": "A step is about to be taken. {verb, slot, release, weights: {release: percent}, detail, worker}",
        "done": "A step was taken. As `intent`, with {seconds}.",
        "failed": "A step failed; as `done`, with the error as the detail.",
        "under_way": "A step was taken further and is not through; as `done`, with how far it is as the detail.",
        "live": (
            "What one target serves from now on, written or observed; with what was answered since the change before,"
            " counted just before this one. {weights: {version: percent}, answered: {version: {requests, errors}},"
            " mirrored: {version, percent, requests, errors, p95_ms, compared, disagreed, dropped}}"
        ),
        "order": "A person's order was acknowledged. {crowned, previous, floor, displaced}",
        "order_asked": "A person asked for something on the command line. {order, who, detail}",
        "rollout_started": "A winner is being taken to every target.",
        "rolled_back": "A rollout ended without a crown. {reason, detail, numbers: {name: number}}",
        "crowned": "A rollout ended with a new champion. {version, previous}",
        "wrote": (
            "What a job had written with a version that it no longer runs, in all."
            " {rows, since, until, where, folders: [name], commits: [first, last]}"
        ),
        "unmet": "A person's order cannot be carried out. {previous, detail}",
        "told": "A state that lasts, for a person to know. {state: held | stuck | waiting | left, weights, detail}",
        "ledger_rebuilt": "The memory started anew. {kept: file name, rescued: lines}",
        "paused": "A person paused the watcher. {who}",
        "resumed": "A person ended the pause. {who}",
    }
)
"""The closed list of events: code -> meaning, and the shape of the line's data."""

DECISIONS = frozenset({"order", "rollout_started", "rolled_back", "crowned", "unmet"})
"""Events that explain what is live after them."""


@dataclass(frozen=True, slots=True)
class Live:
    """What one target served from `since` until `until` (None: to the end of the lines), and the lines that say why."""

    target: str
    weights: Mapping[str, int]
    """Version -> percent; empty where nothing served."""
    since: float
    until: float | None
    line: Line
    """The line of the event `live` itself."""
    because: tuple[Line, ...] = ()
    """The step that did it, the decision behind the step, and the verdict on its version: as far as they are known."""


def timeline(lines: Iterable[Line], model: str) -> tuple[Live, ...]:
    """What was live where in the course of time, and why; `lines` may come oldest or newest first."""
    spans: list[Live] = []
    last: dict[str, int] = {}
    decision: Line | None = None
    verdicts: dict[int | None, Line] = {}
    steps: dict[str | None, Line] = {}
    for line in _oldest_first(lines, model):
        if line.event in DECISIONS:
            decision = line
        elif line.event == "verdict":
            verdicts[line.version] = line
        elif line.event == "done" and (line.data or {}).get("verb") == Verb.SHIFT:
            steps[line.target] = line
        elif line.event == "live" and line.target is not None:
            if line.target in last:
                spans[last[line.target]] = replace(spans[last[line.target]], until=line.at)
            why = (steps.pop(line.target, None), decision, verdicts.get(decision.version) if decision else None)
            last[line.target] = len(spans)
            because = tuple(reason for reason in why if reason is not None)
            spans.append(Live(line.target, weights_of(line), line.at, None, line, because))
    return tuple(spans)


def live_at(lines: Iterable[Line], model: str, at: float) -> Mapping[str, Live]:
    """What each target of the model served at the moment `at`; a target without a line until then is left out."""
    return {live.target: live for live in timeline((line for line in lines if line.at <= at), model)}


MOST_CHANGES = 200
"""Changes of a model among which targets are looked for that are not known beforehand."""
FEW_VERDICTS = 20
"""The verdict that a rollout follows is nearly always among so many before it; only else more are read."""


def read_live(ledger: Ledger, model: str, at: float, targets: Iterable[str] = ()) -> Mapping[str, Live]:
    """`live_at` with a few small questions to the ledger, however long the history is.

    `targets` are names that are known beforehand; others are found where they are among the last `MOST_CHANGES`.
    """
    changes = ledger.history(model, until=at, event="live", most=MOST_CHANGES)
    result: dict[str, Live] = {}
    for target in sorted({line.target for line in changes if line.target is not None} | set(targets)):
        # The change before the last one too: a step that led to that one explains nothing here.
        around = [*ledger.history(model, until=at, event="live", target=target, most=2)]
        if not around:
            continue
        since = around[0].at
        around += ledger.history(model, until=since, event="done", target=target, most=20)
        decisions: list[Line] = []
        for event in DECISIONS:
            decisions += ledger.history(model, until=since, event=event, most=1)
        around += decisions
        around += _verdicts(ledger, model, since, decisions)
        # Of the same moment the reasons come before what they explain.
        around.sort(key=lambda line: (line.at, line.event == "live"))
        result[target] = live_at(around, model, at)[target]
    return result


def _verdicts(ledger: Ledger, model: str, until: float, decisions: Iterable[Line]) -> Iterable[Line]:
    """Verdicts up to a moment, that on the version of the last decision among them where it can be found."""
    last = max((line.at for line in decisions), default=None)
    wanted = {line.version for line in decisions if line.at == last}
    few = ledger.history(model, until=until, event="verdict", most=FEW_VERDICTS)
    if len(few) < FEW_VERDICTS or wanted <= {line.version for line in few} | {None}:
        return few
    return ledger.history(model, until=until, event="verdict")


def explain(live: Live) -> tuple[str, ...]:
    """The sentences that answer *what, and why*: the live line first, then its reasons."""
    return tuple(render(line) for line in (live.line, *live.because))


def _oldest_first(lines: Iterable[Line], model: str) -> list[Line]:
    mine = [line for line in lines if line.model == model]
    if mine and mine[0].at > mine[-1].at:
        mine.reverse()
    return sorted(mine, key=lambda line: line.at)
