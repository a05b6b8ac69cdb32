"""What the evaluation on the holdout says: whether it is done, whether it is fair, and what holds in each slice."""

from __future__ import annotations

from watcher.evaluations import Comparison, Evaluated, Fault, Progress, Scored
from watcher.judge.case import Case, no_champion, no_objection, not_asked_for
from watcher.judge.numbers import Change, number
from watcher.judge.scored import comparison, not_scored_yet, scored
from watcher.policy import Guard
from watcher.text import plain
from watcher.values import Call, Finding

SHORTEST_LOOK = 2.0
"""Seconds until an evaluation under way is looked at again; later ones come after a quarter of what it took so far."""
MOST_SHOWN = 5


def evaluated(case: Case) -> Finding:
    """The version and the champion were scored on the same rows.

    A version that cannot be scored is `invalid`; where the champion or the data is at fault it waits for a person.
    """
    rule = "evaluated"
    if case.policy.evaluate is None:
        return not_asked_for(rule)
    seen = case.evaluated
    if seen is None:
        return Finding(rule, Call.WAITS, "evaluation_unseen", detail="It could not be asked how far it is.")
    if seen.progress is Progress.FAILED:
        return _failed(rule, seen)
    found = comparison(case)
    if found is None:
        under_way = seen.progress is Progress.RUNNING
        until = case.now + max(SHORTEST_LOOK, (case.now - seen.since) / 4) if under_way else None
        measured = "under way" if under_way else "not begun"
        return Finding(rule, Call.WAITS, "evaluation_awaited", measured, detail=plain(seen.why), until=until)
    look = f", look {found.look} on this holdout" if found.look else ""
    return no_objection(rule, f"{found.rows:,} rows{look}", detail=_circumstances(found))


def _failed(rule: str, seen: Evaluated) -> Finding:
    why = plain(seen.why, 500)
    if seen.fault is Fault.CHALLENGER:
        return Finding(rule, Call.INVALID, "evaluation_failed", "failed", detail=why)
    if seen.fault is Fault.CHAMPION:
        return Finding(rule, Call.WAITS, "champion_not_evaluated", "failed", detail=why)
    return Finding(rule, Call.WAITS, "evaluation_impossible", "failed", detail=why)


def _circumstances(found: Comparison) -> str:
    table = f", table version {found.table_version}" if found.table_version is not None else ""
    changed = f", {found.changed:.2%} of the answers differ" if found.changed is not None else ""
    return f"Data {plain(found.data[:12])}{table}{changed}; scored in {found.seconds:.3g} s."


def not_trained_on(case: Case) -> Finding:
    """The holdout is not data that the version was trained on, as far as its run tells."""
    rule = "not_trained_on"
    if case.policy.evaluate is None:
        return not_asked_for(rule)
    found = comparison(case)
    if found is None:
        return Finding(rule, Call.WAITS, "evaluation_awaited")
    unmeasured = "the holdout itself" if found.leak else "not known"
    measured = f"{found.overlap:.2%} of the rows" if found.overlap is not None else unmeasured
    bound = f"≤ {case.policy.evaluate.max_overlap:.2%} of the rows"
    if found.leak:
        return Finding(rule, Call.INVALID, "evaluated_on_training_data", measured, bound, plain(found.leak, 500))
    return no_objection(rule, measured, bound, plain(found.leak_unknown, 500))


def slices_hold(case: Case) -> Finding:
    """No slice is without a number for one of the two that the other has; too few rows for one are said."""
    rule = "slices_hold"
    if case.policy.evaluate is None or not case.policy.evaluate.slices:
        return not_asked_for(rule)
    found = comparison(case)
    if found is None:
        return Finding(rule, Call.WAITS, "evaluation_awaited")
    slices = [score for score in found.scores if score.column]
    count = len({(s.column, s.value) for s in slices})
    counted = f"{count} slice{'' if count == 1 else 's'}"
    if case.champion is not None:
        for score in slices:
            if (score.challenger is None) != (score.champion is None):
                whose = "the version" if score.challenger is None else "the champion"
                detail = f"{_named(score)}: no `{plain(score.metric, 100)}` of {whose}. {plain(score.why)}".strip()
                return Finding(rule, Call.INVALID, "slice_absent", counted, detail=detail)
    told = [f"{_named(score)}: {plain(score.why)}" for score in slices if score.why]
    more = f", and {len(told) - MOST_SHOWN} more" if len(told) > MOST_SHOWN else ""
    return no_objection(rule, counted, detail="; ".join(dict.fromkeys(told[:MOST_SHOWN])) + more)


def guard_in_each(case: Case, guard: Guard, column: str) -> Finding:
    """What a guard says in each slice of the column; those without a number are `slices_hold`'s to tell."""
    rule = "guards_hold"
    found = comparison(case)
    if found is None:
        return not_scored_yet(rule, guard.metric)
    allowed = max(guard.max_drop, 0.0)
    kept = []
    for score in found.slices(guard.metric, column):
        if score.challenger is None or score.champion is None:
            continue
        change = Change(score.challenger, score.champion, guard.better, guard.relative)
        measured = f"{plain(guard.metric, 100)} in {_named(score)} {change.measured(-allowed)}"
        if change.drops(allowed):
            detail = f"The champion has {number(score.champion, score.challenger)} there. {_interval(score, found)}"
            return Finding(rule, Call.LOSES, "guard_violated", measured, change.asked(-allowed), detail)
        kept.append((change.gain, measured, change.asked(-allowed)))
    if not kept:
        return no_objection(rule, f"no slice of {plain(column, 100)} with enough rows")
    _, measured, bound = min(kept)
    return no_objection(rule, measured, bound)


def gain_on_bound(case: Case) -> Finding:
    """The lower end of the gain's interval is above `min_gain`, or above minus the margin of `non_inferior`."""
    rule, primary = "primary_gains", case.policy.primary
    found = comparison(case)
    if found is None:
        return not_scored_yet(rule, primary.metric)
    score = scored(case, rule, primary.metric)
    if isinstance(score, Finding):
        return score
    if case.champion is None:
        return no_champion(rule)
    if score.challenger is None or score.champion is None or score.gain is None or score.low is None:
        why = f"`{plain(primary.metric, 100)}`: {plain(score.why) or 'the gain has no interval'}."
        return Finding(rule, Call.WAITS, "evaluation_impossible", "none", detail=why)
    margin = primary.non_inferior
    amount = max(primary.min_gain, 0.0) if margin is None else -max(margin, 0.0)
    if primary.relative and margin is None:
        amount *= abs(score.champion)
    change = Change(score.challenger, score.champion, primary.better, relative=False)
    measured = f"{change.measured(amount)}, {_interval(score, found)}"
    bound = f"lower bound of the gain > {number(amount)}"
    detail = (
        f"`{plain(primary.metric, 100)}`; the champion has {number(score.champion, score.challenger)}."
        f" {plain(score.method, 100)}, look {found.look} on this holdout."
    )
    if score.low > amount:
        return no_objection(rule, measured, bound, detail)
    reason = "gain_not_certain" if score.gain > amount else "gain_too_small"
    return Finding(rule, Call.LOSES, reason, measured, bound, detail)


def _interval(score: Scored, found: Comparison) -> str:
    if score.low is None or score.high is None:
        return "no interval"
    return f"gain {signed(score.low)} to {signed(score.high)} at {percent(found.level)}"


def signed(value: float) -> str:
    """`+0.0031`."""
    return f"{'+' if value > 0 else ''}{number(value)}"


def percent(level: float) -> str:
    """`95 %`, `99.87 %`."""
    return f"{100 * level:.5g} %"


def _named(score: Scored) -> str:
    return f"{plain(score.column, 100)}={plain(score.value, 100)}"
