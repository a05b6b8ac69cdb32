"""Whether the numbers are good enough: by themselves, where they are guarded, and where they decide."""

from __future__ import annotations

from watcher.evaluations import Evaluated
from watcher.judge.case import Case, no_champion, no_objection, not_asked_for
from watcher.judge.evaluation import gain_on_bound, guard_in_each
from watcher.judge.evidence import champion_metric, own_metric
from watcher.judge.numbers import Change, number, turned, untrusted
from watcher.judge.scored import is_scored
from watcher.policy import Better, Guard, Policy
from watcher.text import plain
from watcher.values import Call, EvidenceOf, Finding


def within_bounds(case: Case) -> Finding:
    """Every metric is at or above its floor, and at or below its ceiling."""
    rule = "within_bounds"
    findings = [_bound(case, name, floor, Better.HIGHER) for name, floor in case.policy.floors.items()]
    findings += [_bound(case, name, ceiling, Better.LOWER) for name, ceiling in case.policy.ceilings.items()]
    return _worst(rule, findings) if findings else not_asked_for(rule)


def _bound(case: Case, name: str, bound: float, better: Better) -> Finding:
    rule = "within_bounds"
    metric = own_metric(case, rule, name)
    if isinstance(metric, Finding):
        return metric
    is_floor = better is Better.HIGHER
    measured = f"{plain(name, 100)} {number(metric.value, bound)}"
    asked = f"{'≥' if is_floor else '≤'} {number(bound, metric.value)}"
    if turned(metric.value, better) >= turned(bound, better):
        return no_objection(rule, measured, asked)
    return Finding(rule, Call.LOSES, "metric_below_floor" if is_floor else "metric_above_ceiling", measured, asked)


def guards_hold(case: Case) -> Finding:
    """No guarded metric is worse than the champion's by more than its guard allows."""
    rule = "guards_hold"
    if not case.policy.guards:
        return not_asked_for(rule)
    if case.champion is None:
        return no_champion(rule)
    return _worst(rule, [_guard(case, guard) for guard in case.policy.guards])


def _guard(case: Case, guard: Guard) -> Finding:
    rule = "guards_hold"
    if guard.each is not None:
        return guard_in_each(case, guard, guard.each)
    mine = own_metric(case, rule, guard.metric)
    if isinstance(mine, Finding):
        return mine
    theirs = champion_metric(case, rule, guard.metric)
    if isinstance(theirs, Finding):
        return theirs
    change = Change(mine.value, theirs.value, guard.better, guard.relative)
    allowed = max(guard.max_drop, 0.0)
    measured = f"{plain(guard.metric, 100)} {change.measured(-allowed)}"
    if change.drops(allowed):
        detail = f"The champion has {number(theirs.value, mine.value)}."
        return Finding(rule, Call.LOSES, "guard_violated", measured, change.asked(-allowed), detail)
    return no_objection(rule, measured, change.asked(-allowed))


def _worst(rule: str, findings: list[Finding]) -> Finding:
    """The one that decides: what is certainly violated does so even where another metric is still awaited."""
    for call in (Call.INVALID, Call.LOSES, Call.WAITS):
        for finding in findings:
            if finding.call is call:
                return finding
    shown = findings[:5]
    return no_objection(rule, ", ".join(f.measured for f in shown), ", ".join(f.bound for f in shown))


def primary_gains(case: Case) -> Finding:
    """The primary metric is strictly better than the champion's, and by at least `min_gain`.

    Of a metric that is measured on the holdout, the lower end of the gain's interval counts: `gain_on_bound`.
    `Change` says what a relative gain means where the champion's metric is negative or zero.
    """
    rule = "primary_gains"
    primary = case.policy.primary
    if is_scored(case.policy, primary.metric):
        return gain_on_bound(case)
    mine = own_metric(case, rule, primary.metric)
    if isinstance(mine, Finding):
        return mine
    if case.champion is None:
        return no_champion(rule)
    theirs = champion_metric(case, rule, primary.metric)
    if isinstance(theirs, Finding):
        return theirs
    change = Change(mine.value, theirs.value, primary.better, primary.relative)
    needed = max(primary.min_gain, 0.0)
    measured, bound = change.measured(needed), change.asked(needed, strictly=needed == 0)
    detail = f"`{plain(primary.metric, 100)}`; the champion has {number(theirs.value, mine.value)}."
    if change.gains(needed):
        return no_objection(rule, measured, bound, detail)
    return Finding(rule, Call.LOSES, "gain_too_small", measured, bound, detail)


def score(policy: Policy, evidence: EvidenceOf | None, evaluated: Evaluated | None) -> float | None:
    """The primary metric, turned so that higher is better; None where it is missing or cannot be trusted.

    Of a metric that is measured, what was measured.
    """
    if is_scored(policy, policy.primary.metric):
        found = evaluated.comparison.of(policy.primary.metric) if evaluated and evaluated.comparison else None
        return turned(found.challenger, policy.primary.better) if found and found.challenger is not None else None
    metric = evidence.metrics.get(policy.primary.metric) if evidence else None
    if metric is None or untrusted(metric):
        return None
    return turned(metric.value, policy.primary.better)
