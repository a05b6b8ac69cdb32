"""Canary analysis: whether the challenger answers as well as the champion on the same traffic."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from watcher.decide.world import found, mirrored
from watcher.record import Record
from watcher.snapshot import TargetView
from watcher.values import Analysis, Mirrored, Traffic


class Outcome(StrEnum):
    """Three answers: inconclusive is never a pass."""

    GOOD = "good"
    BAD = "bad"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Analysed:
    """What the analysis of one endpoint says, and with which numbers."""

    outcome: Outcome
    reason: str = ""
    detail: str = ""
    baseline: tuple[float, float | None] | None = None
    """The champion's error share and p95 in ms, where it answered enough to say."""


def share(traffic: Traffic) -> float:
    """Errors per request, 0 without requests."""
    return traffic.errors / traffic.requests if traffic.requests else 0.0


def analyse(
    view: TargetView, champion: str | None, challenger: str, rules: Analysis, record: Record, *, baked: bool
) -> Analysed:
    """Compare two releases of one endpoint, on live requests, or on copies of them where they are mirrored.

    Errors are judged as soon as there are `min_requests` answers, latency only after the bake (a young process
    is slow for other reasons). At full weight the champion answers nothing: then its last figures are the
    baseline, and without those its error share counts as zero, which is the stricter way.
    """
    copies = mirrored(view, challenger)
    new = _traffic(view, challenger) if copies is None else copies.traffic
    old = _traffic(view, champion) if champion else Traffic()
    if not new.available or not old.available:
        return Analysed(Outcome.INCONCLUSIVE, "traffic_unknown", view.target.name)
    kept = record.baseline.get(view.target.name, {})
    comparable = old.requests >= rules.min_requests
    old_share = share(old) if comparable else float(kept.get("errors", 0.0))
    old_p95 = old.p95_ms if comparable else kept.get("p95_ms")
    if new.requests < rules.min_requests:
        detail = f"{view.target.name}: {new.requests} of {rules.min_requests} requests"
        return Analysed(Outcome.INCONCLUSIVE, "too_few_requests", detail)
    if share(new) - old_share > rules.max_error_increase:
        requests = "requests" if copies is None else "mirrored requests"
        detail = (
            f"{view.target.name}: {new.errors} of {new.requests} {requests} failed ({share(new):.1%}), "
            f"champion {old_share:.1%}, allowed +{rules.max_error_increase:.1%}"
        )
        return Analysed(Outcome.BAD, "analysis_errors", detail)
    if baked and new.p95_ms is not None and old_p95 is not None and new.p95_ms > rules.max_p95_ratio * old_p95:
        detail = (
            f"{view.target.name}: p95 {new.p95_ms:.1f} ms{' of copies' if copies else ''}, "
            f"champion {old_p95:.1f} ms, allowed {rules.max_p95_ratio:g}×"
        )
        return Analysed(Outcome.BAD, "analysis_latency", detail)
    if copies is not None and rules.max_disagreement is not None:
        disputed = _disagreement(view, copies, rules.max_disagreement, rules.min_requests)
        if disputed is not None:
            return disputed
    return Analysed(Outcome.GOOD, baseline=(share(old), old.p95_ms) if comparable else None)


def _disagreement(view: TargetView, copies: Mirrored, most: float, least: int) -> Analysed | None:
    """None where enough answers were compared, and not too many of them differ."""
    if copies.compared < least:
        detail = f"{view.target.name}: {copies.compared} of {least} mirrored answers compared"
        return Analysed(Outcome.INCONCLUSIVE, "too_few_requests", detail)
    if copies.disagreed <= most * copies.compared:
        return None
    detail = (
        f"{view.target.name}: {copies.disagreed} of {copies.compared} mirrored answers differ from the champion's "
        f"({copies.disagreed / copies.compared:.1%}), allowed {most:.1%}"
    )
    return Analysed(Outcome.BAD, "analysis_disagreement", detail)


def _traffic(view: TargetView, release: str) -> Traffic:
    seen = found(view, release)
    return seen.traffic if seen else Traffic()
