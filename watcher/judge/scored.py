"""Metrics that are measured on the holdout instead of believed: where the other rules find them."""

from __future__ import annotations

import math

from watcher.evaluations import Comparison, Progress, Scored
from watcher.judge.case import Case
from watcher.policy import Policy
from watcher.text import plain
from watcher.values import Call, Finding, Metric


def is_scored(policy: Policy, name: str) -> bool:
    """Whether the policy has the metric measured, so that what was logged under its name counts for nothing."""
    return policy.evaluate is not None and name in policy.evaluate.metrics


def comparison(case: Case) -> Comparison | None:
    """What the evaluation of this version against this champion found, None before it is done."""
    found = case.evaluated
    return found.comparison if found is not None and found.progress is Progress.DONE else None


def not_scored_yet(rule: str, name: str) -> Finding:
    """What `rule` says of a metric before the evaluation is done."""
    return Finding(rule, Call.WAITS, "evaluation_awaited", "none", detail=f"`{plain(name, 100)}` is not scored yet.")


def scored(case: Case, rule: str, name: str) -> Scored | Finding:
    """The metric of both over all rows, or what `rule` has to say without it."""
    found = comparison(case)
    if found is None:
        return not_scored_yet(rule, name)
    score = found.of(name)
    if score is None or score.challenger is None or (case.champion is not None and score.champion is None):
        why = plain(score.why) if score and score.why else "the evaluation has no such number"
        return Finding(rule, Call.WAITS, "evaluation_impossible", "none", detail=f"`{plain(name, 100)}`: {why}.")
    return score


def scored_metric(case: Case, rule: str, name: str, *, champions: bool = False) -> Metric | Finding:
    """One side's number, as the rules that compare points take it."""
    score = scored(case, rule, name)
    if isinstance(score, Finding):
        return score
    value = score.champion if champions else score.challenger
    return Metric(value if value is not None else math.nan, f"the evaluation on {score.rows:,} rows")
