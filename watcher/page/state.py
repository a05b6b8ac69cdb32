"""In one word how a model is, so that a glance is enough. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from watcher.reasons import REASONS
from watcher.record import Record
from watcher.values import Call, Marks, Observed, Unseen
from watcher.views.show import Planned

HEALING = frozenset({"drift_launch", "drift_shift"})


@dataclass(frozen=True, slots=True)
class State:
    """How a model is, for programs and in a word for people."""

    code: str
    word: str
    tone: str
    """`good`, `busy` (it goes on by itself), `idle`, `warn` (a person may want to act) or `bad` (one has to)."""


SERVING = State("serving", "Serving", "good")
ROLLING_OUT = State("rolling_out", "Rolling out", "busy")
ROLLING_BACK = State("rolling_back", "Rolling back", "warn")
ORDERED = State("order_on_its_way", "Order on its way", "busy")
HEALING_STATE = State("healing", "Healing a target", "busy")
NOT_SERVING = State("nothing_serves", "Nothing serves yet", "idle")
ADVISING = State("advising", "Advising only", "idle")
PAUSED = State("paused", "Paused", "warn")
HELD = State("held", "Held", "warn")
WAITS_FOR_YOU = State("waits_for_you", "Waits for you", "warn")
UNSEEN = State("target_unseen", "A target cannot be seen", "warn")
STUCK = State("needs_you", "Needs you", "bad")
UNMET = State("order_unmet", "Order cannot be met", "bad")
GONE = State("model_gone", "Not in the registry", "bad")
NOT_THERE = State("not_registered", "Not registered yet", "idle")
UNKNOWN = State("unknown", "Not known", "warn")


def remedy(reason: str) -> str:
    """What a person can do about a reason, empty where there is nothing to do."""
    known = REASONS.get(reason)
    return known.remedy if known and not known.remedy.startswith("Nothing") else ""


def of_plan(plan: Planned) -> State:
    """The state of a model that was looked at."""
    snapshot, step = plan.snapshot, plan.decision.step
    seen = [view.seen for view in snapshot.targets]
    champion = snapshot.champion
    if snapshot.paused:
        return PAUSED
    by_marks = _by_marks(snapshot.marks, plan.decision.record)
    if by_marks.tone == "bad" or (snapshot.marks.champion is not None and champion is None):
        return by_marks if by_marks.tone == "bad" else STUCK
    if any(isinstance(one, Observed) and (one.problem or not one.adopted) for one in seen):
        return STUCK
    if champion is not None and champion.call is Call.UNMET:
        return UNMET
    if any(isinstance(one, Unseen) for one in seen):
        return UNSEEN
    if snapshot.watched.mode == "advise" and by_marks in (SERVING, NOT_SERVING):
        return ADVISING
    if by_marks in (SERVING, NOT_SERVING, ROLLING_OUT) and step.verb == "wait" and remedy(step.reason):
        return WAITS_FOR_YOU
    return HEALING_STATE if by_marks is SERVING and step.reason in HEALING else by_marks


def of_marks(marks: Marks, record: Record | None) -> State:
    """The state of a model as far as its marks and what is remembered of it say; no target is asked."""
    found, reason = _by_marks(marks, record), waits(record)[0]
    if found in (SERVING, NOT_SERVING, ROLLING_OUT) and remedy(reason):
        return {"target_unseen": UNSEEN, "advise_only": ADVISING}.get(reason, WAITS_FOR_YOU)
    return found


def waits(record: Record | None) -> tuple[str, str]:
    """Reason and detail of the state that was last told to last, both empty without one."""
    reason, _, detail = (record.told.get("wait", "") if record else "").partition(":")
    return reason, detail


def _by_marks(marks: Marks, record: Record | None) -> State:
    crown = marks.crown
    if not marks.exists:
        return GONE if record is not None and record.n else NOT_THERE
    if marks.problem is not None:
        return STUCK
    if record is not None and record.rolled_back:
        return ROLLING_BACK
    if marks.champion is None and crown is not None and crown.crowned is not None:
        return STUCK
    if waits(record)[0] in ("champion_gone", "order_unmet", "target_refuses", "not_adopted"):
        return STUCK
    if marks.hold is not None:
        return HELD
    if marks.challenger is not None and marks.challenger != marks.champion:
        return ROLLING_OUT
    if marks.champion is None:
        return NOT_SERVING
    if crown is not None and (not crown.met or crown.crowned != marks.champion):
        return ORDERED
    return SERVING
