"""Whether the numbers the policy asks for are there, can be trusted, and were measured on the champion's data."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from watcher.judge.case import Case, champion_unread, no_champion, no_objection, not_asked_for
from watcher.judge.numbers import untrusted
from watcher.judge.scored import is_scored, scored_metric
from watcher.policy import Policy, SameData
from watcher.text import plain
from watcher.values import Call, Finding, Metric


def compared(policy: Policy) -> tuple[str, ...]:
    """Metrics that are compared with the champion's."""
    return tuple(dict.fromkeys((policy.primary.metric, *(g.metric for g in policy.guards))))


def asked_for(policy: Policy) -> tuple[str, ...]:
    """Every metric that the policy names and takes as it was logged, each once."""
    names = dict.fromkeys((*compared(policy), *policy.floors, *policy.ceilings))
    return tuple(name for name in names if not is_scored(policy, name))


def evidence_complete(case: Case) -> Finding:
    """Every metric the policy names is there and a finite number from a source that can be trusted.

    A missing one is waited for until `wait_at_most` after the version was first seen.
    """
    rule = "evidence_complete"
    metrics = case.known.metrics
    names = asked_for(case.policy)
    if not names:
        return not_asked_for(rule)
    for name in names:
        if name in metrics and (why := untrusted(metrics[name])):
            return _distrusted(rule, name, metrics[name], why)
    missing = [name for name in names if name not in metrics]
    if not missing:
        return no_objection(rule, f"{len(names)} of {len(names)} metrics")
    measured, bound = f"{len(names) - len(missing)} of {len(names)} metrics", plain(", ".join(names))
    detail = " ".join(_missing(name, metrics) for name in missing[:3])
    if case.now < case.evidence_due:
        return Finding(rule, Call.WAITS, "evidence_missing", measured, bound, detail, case.evidence_due)
    return Finding(rule, Call.INVALID, "evidence_overdue", measured, bound, detail)


def own_metric(case: Case, rule: str, name: str) -> Metric | Finding:
    """The version's own metric, or what `rule` has to say without it."""
    if is_scored(case.policy, name):
        return scored_metric(case, rule, name)
    metric = case.known.metrics.get(name)
    if metric is None:
        detail = _missing(name, case.known.metrics)
        return Finding(rule, Call.WAITS, "evidence_missing", "none", detail=detail, until=case.evidence_due)
    if why := untrusted(metric):
        return _distrusted(rule, name, metric, why)
    return metric


def champion_metric(case: Case, rule: str, name: str) -> Metric | Finding:
    """The champion's metric, or what `rule` has to say without it.

    Nothing wins against a champion that cannot be compared, and nothing loses either. The wait is first one for
    evidence to come; from `wait_at_most` on, and at once where the evidence is broken, it is one for a person.
    """
    if is_scored(case.policy, name):
        return scored_metric(case, rule, name, champions=True)
    if unread := champion_unread(case, rule):
        return unread
    there = _champion_metrics(case)
    metric = there.get(name)
    if metric is None:
        return _awaited_of_champion(case, rule, f"The champion has no such number. {_missing(name, there)}")
    if why := untrusted(metric):
        detail = f"The champion's {_source(name, metric, why)}"
        return Finding(rule, Call.WAITS, "champion_incomparable", detail=detail)
    return metric


def _champion_metrics(case: Case) -> Mapping[str, Metric]:
    return case.champion_evidence.metrics if case.champion_evidence else {}


def _awaited_of_champion(case: Case, rule: str, detail: str) -> Finding:
    if case.now < case.evidence_due:
        return Finding(rule, Call.WAITS, "champion_evidence_missing", detail=detail, until=case.evidence_due)
    return Finding(rule, Call.WAITS, "champion_incomparable", detail=detail)


def same_data(case: Case) -> Finding:
    """Compared metrics were measured on the same data: equal digests, or equal names where a digest is not known.

    `required` asks for digests on both sides and waits for them as for missing metrics. Different data is final.
    """
    rule = "same_data"
    if case.policy.evidence.same_data is SameData.IGNORE:
        return not_asked_for(rule)
    if case.champion is None:
        return no_champion(rule)
    pairs = _pairs(case)
    for name, mine, other in pairs:
        if _differ(mine, other):
            detail = f"`{plain(name, 100)}` was measured on other data than the champion's."
            return Finding(rule, Call.INVALID, "other_data", _data(mine), _data(other), detail)
    unknown = [(name, mine) for name, mine, other in pairs if not (mine.digest and other.digest)]
    if not unknown:
        return no_objection(rule)
    names = plain(", ".join(name for name, _ in unknown))
    if case.policy.evidence.same_data is SameData.WHEN_KNOWN:
        return no_objection(rule, "not known", detail=f"No digests on both sides for {names}.")
    return _digest_awaited(case, names, champions=all(mine.digest for _, mine in unknown))


def _pairs(case: Case) -> list[tuple[str, Metric, Metric]]:
    mine, theirs = case.known.metrics, _champion_metrics(case)
    names = [name for name in compared(case.policy) if not is_scored(case.policy, name)]
    return [(name, mine[name], theirs[name]) for name in names if name in mine and name in theirs]


def _digest_awaited(case: Case, names: str, *, champions: bool) -> Finding:
    rule = "same_data"
    if champions:
        return _awaited_of_champion(case, rule, f"The champion has no data digest for {names}.")
    detail = f"The policy requires data digests on both sides for {names}."
    if case.now < case.evidence_due:
        return Finding(rule, Call.WAITS, "data_unknown", "not known", "same data", detail, case.evidence_due)
    return Finding(rule, Call.INVALID, "data_never_known", "not known", "same data", detail)


def _differ(mine: Metric, other: Metric) -> bool:
    if mine.digest and other.digest:
        return mine.digest != other.digest
    return bool(mine.dataset and other.dataset and mine.dataset != other.dataset)


def _data(metric: Metric) -> str:
    return " ".join(plain(part, 80) for part in (metric.dataset, metric.digest) if part)


def _distrusted(rule: str, name: str, metric: Metric, why: str) -> Finding:
    detail = _source(name, metric, why)
    return Finding(rule, Call.INVALID, "evidence_untrusted", str(metric.value), "a finite number", detail)


def _source(name: str, metric: Metric, why: str) -> str:
    return f"`{plain(name, 100)}` from {plain(metric.origin, 100)}: {plain(why)}."


def _missing(name: str, there: Iterable[str]) -> str:
    near = difflib.get_close_matches(name[:100], [t[:100] for t in sorted(there)[:500]])
    hint = f" Did you mean `{plain(near[0])}`?" if near else ""
    return f"No metric `{plain(name, 100)}`.{hint}"
