"""Worlds with an evaluation: champion and candidate scored on one holdout, by ROC AUC."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tests.judge.world import HOUR, NOW, World, first
from watcher.evaluations import Comparison, Evaluate, Evaluated, Fault, Holdout, Progress, Scored, Slice
from watcher.policy import Better, Guard, Policy, Primary

RULES = Evaluate(Holdout("holdout.parquet"), "y", ("roc_auc", "log_loss"), (Slice("region", 200),))
PRIMARY = Primary("roc_auc", min_gain=0.002, confidence=0.95)
MEASURED = Policy(PRIMARY, evaluate=RULES)
EACH = replace(MEASURED, guards=(Guard("roc_auc", 0.02, each="region"),))


def score(old: float | None, new: float | None, half: float = 0.004, **changes: Any) -> Scored:
    """ROC AUC of both with an interval of this half width."""
    known = Scored("roc_auc", new, old, rows=10_000, method="delong")
    if old is not None and new is not None:
        gain = new - old
        known = replace(known, gain=gain, low=gain - half, high=gain + half)
    return replace(known, **changes)


def north(old: float | None, new: float | None, **changes: Any) -> Scored:
    return score(old, new, column="region", value="north", rows=500, **changes)


def comparison(*scores: Scored, **changes: Any) -> Comparison:
    return replace(Comparison("d" * 64, 10_000, scores, 0.95, 3, 12.5, changed=0.031, overlap=0.0), **changes)


def found(*scores: Scored, policy: Policy = MEASURED, **changes: Any) -> World:
    """A world in which the evaluation is done."""
    done = Evaluated(Progress.DONE, NOW - 60, comparison=comparison(*scores, **changes))
    return World(policy, evaluated=done)


def at(progress: Progress, why: str = "", fault: Fault = Fault.ELSEWHERE, policy: Policy = MEASURED) -> World:
    return World(policy, evaluated=Evaluated(progress, NOW - 100, why, fault))


@dataclass(frozen=True)
class Opens:
    """A window that opens at one moment."""

    at: float | None

    def opens(self, now: float) -> float | None:
        return self.at if self.at is None else max(self.at, now)

    def says(self) -> str:
        return "mon-thu 09:00 to 16:00 Europe/Amsterdam"


def better(old: float = 0.84, new: float = 0.85, **changes: Any) -> World:
    return found(score(old, new), **changes)


def without_champion() -> World:
    done = Evaluated(Progress.DONE, NOW, comparison=comparison(score(None, 0.85), changed=None))
    return first(policy=replace(MEASURED, floors={"roc_auc": 0.8}), evaluated=done)


def windowed(opens: float | None) -> World:
    return World(Policy(Primary("auc", min_gain=0.002), change_window=Opens(opens)))


LOWER = replace(MEASURED, primary=Primary("log_loss", Better.LOWER, min_gain=0.01))
SAME = replace(MEASURED, primary=Primary("roc_auc", non_inferior=0.01))
SHARE = replace(MEASURED, primary=Primary("roc_auc", min_gain=0.01, relative=True))
LATER = NOW + 3 * HOUR
