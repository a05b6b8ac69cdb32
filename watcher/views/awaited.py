"""What a model waits for, behind a step that is none: in whose hands it is, and what that makes of "at rest". Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from watcher.news import NEEDS_A_PERSON
from watcher.values import Call, Step, Verb, Verdict

if TYPE_CHECKING:
    from watcher.reconcile import Woken

PEOPLES = NEEDS_A_PERSON | {"held", "paused", "advise_only", "order_unmet"}
"""Waits that end by somebody's doing: looking again is only a look."""
FAILING = frozenset({"backoff", "target_unseen", "target_refuses"})
"""Waits for something that does not work, or says no."""


def awaited(step: Step, verdicts: Mapping[int, Verdict], *, unmet: bool) -> Step:
    """Where the loop has nothing to do, the order that cannot be met, or what the newest version that waits awaits."""
    if step.reason == "nothing_to_do" and unmet:
        return Step(Verb.WAIT, reason="order_unmet")
    waiting = _waiting(verdicts)
    if step.reason != "nothing_to_do" or not waiting:
        return step
    newest = max(waiting, key=lambda verdict: verdict.identity.version)
    details = [f.detail for f in newest.findings if f.call is Call.WAITS and f.reason == newest.reason and f.detail]
    number = newest.identity.version
    detail = ": ".join([f"version {number}", *details[:1]])
    return Step(Verb.WAIT, version=number, reason=newest.reason, detail=detail)


def at_rest(woken: Woken, soon: float) -> bool:
    """Whether nothing is due up to `soon` (seconds since the epoch) but a look at what a person has to do."""
    if woken.acted:
        return False
    if woken.again is None or woken.again > soon or woken.step.reason in PEOPLES:
        return True
    waiting = _waiting(woken.verdicts) if woken.step.reason == "nothing_to_do" else []
    return bool(waiting) and all(v.reason in PEOPLES or (v.until is not None and v.until > soon) for v in waiting)


def _waiting(verdicts: Mapping[int, Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts.values() if verdict.call is Call.WAITS]
