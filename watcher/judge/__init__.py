"""Evidence and policy in, one verdict for each candidate out. Pure: no SDK, no clock, no log, no I/O.

Every rule is asked, so that a verdict shows all the numbers. Of the objections, `superseded` comes first, then the
first final one in the order of the list, then the first that waits. A final objection never outruns what it rests on:
while a rule named in `rests_on` waits, it waits too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from watcher.errors import UserError
from watcher.judge.artifacts import above_floor, artifacts_present, evidence_readable, flavors_allowed, registered
from watcher.judge.case import Case, case_of
from watcher.judge.environment import environment_fits
from watcher.judge.evaluation import evaluated, not_trained_on, slices_hold
from watcher.judge.evidence import evidence_complete, same_data
from watcher.judge.gates import approved, in_window, not_held, old_enough
from watcher.judge.metrics import guards_hold, primary_gains, score, within_bounds
from watcher.judge.signature import signature_accepts
from watcher.snapshot import Snapshot
from watcher.text import plain
from watcher.values import Call, Finding, Verdict, Version

Check = Callable[[Case], Finding]


@dataclass(frozen=True, slots=True)
class Rule:
    """A check, and the checks that have to be settled before a final objection of it counts."""

    check: Check
    rests_on: tuple[Check, ...] = ()

    @property
    def name(self) -> str:
        return self.check.__name__


RULES: tuple[Rule, ...] = (
    Rule(above_floor),
    Rule(registered),
    Rule(artifacts_present, rests_on=(registered,)),
    Rule(evidence_readable, rests_on=(artifacts_present,)),
    Rule(flavors_allowed, rests_on=(evidence_readable,)),
    Rule(signature_accepts, rests_on=(evidence_readable,)),
    Rule(environment_fits, rests_on=(evidence_readable,)),
    Rule(evidence_complete, rests_on=(evidence_readable,)),
    Rule(same_data, rests_on=(evidence_readable,)),
    Rule(evaluated, rests_on=(evidence_readable,)),
    Rule(not_trained_on),
    Rule(slices_hold),
    Rule(within_bounds, rests_on=(evidence_readable,)),
    Rule(guards_hold, rests_on=(same_data,)),
    Rule(primary_gains, rests_on=(same_data,)),
    Rule(old_enough),
    Rule(approved),
    Rule(in_window),
    Rule(not_held),
)

_FINAL = frozenset({Call.LOSES, Call.INVALID})


def judge(snapshot: Snapshot, now: float) -> Mapping[int, Verdict]:
    """A verdict for each candidate, by version number; empty while there is no champion to judge against.

    A candidate is a version that was called nothing; while a rollout runs, only the challenger can be one.
    """
    if _champion_lost(snapshot):
        return {}
    return {v.number: _verdict(case_of(snapshot, v, now)) for v in _candidates(snapshot)}


def rests_on(snapshot: Snapshot) -> tuple[Version, ...]:
    """The versions whose evidence the verdicts of `judge` rest on: candidates above the floor, then their champion."""
    if _champion_lost(snapshot):
        return ()
    floor = snapshot.marks.crown.floor if snapshot.marks.crown else 0
    judged = [version for version in _candidates(snapshot) if version.number > floor]
    champion = [snapshot.champion] if judged and snapshot.champion is not None else []
    return (*judged, *champion)


def explain(snapshot: Snapshot, version_number: int, now: float) -> Verdict:
    """What the rules say of any one version that was read, called already or not; the champion is compared with itself.

    Waits, without findings, while the champion is lost. Raises UserError where the version was not read.
    """
    version = snapshot.version(version_number)
    if version is None:
        model = plain(snapshot.watched.name)
        raise UserError(f"Model {model} has no version {version_number}: ask for one that the registry shows.")
    if reason := _champion_lost(snapshot):
        return Verdict(version.identity, Call.WAITS, reason)
    return _verdict(case_of(snapshot, version, now))


def _champion_lost(snapshot: Snapshot) -> str | None:
    """The reason why nothing may be judged: the champion or the floor is not known. None: judge."""
    marks = snapshot.marks
    if not marks.exists:
        return "model_gone"
    if marks.problem is not None:
        return "crown_unreadable"
    if marks.champion is not None:
        return "champion_gone" if snapshot.champion is None else None
    return "champion_missing" if marks.crown and marks.crown.crowned is not None else None


def _candidates(snapshot: Snapshot) -> list[Version]:
    marks = snapshot.marks
    read = [v for v in snapshot.versions.values() if isinstance(v, Version) and v.number != marks.champion]
    return [v for v in read if v.call is None and marks.challenger in (None, v.number)]


def _verdict(case: Case) -> Verdict:
    findings = _findings(case)
    value = score(case.policy, case.evidence, case.evaluated)
    for calls in (frozenset({Call.SUPERSEDED}), _FINAL):
        for finding in findings:
            if finding.call in calls:
                return Verdict(case.version.identity, finding.call, finding.reason, findings, value)
    waiting = [f for f in findings if f.call is Call.WAITS]
    if waiting:
        until = min((f.until for f in waiting if f.until is not None and f.until > case.now), default=None)
        return Verdict(case.version.identity, Call.WAITS, waiting[0].reason, findings, value, until)
    reason = "beats_champion" if case.champion else "first_version"
    return Verdict(case.version.identity, Call.WINS, reason, findings, value)


def _findings(case: Case) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    unsettled: set[Check] = set()
    for rule in RULES:
        finding = rule.check(case)
        awaited = next((check for check in rule.rests_on if check in unsettled), None)
        if awaited is not None and finding.call is not Call.WINS:
            detail = f"Open while `{awaited.__name__}` waits. {finding.detail}".rstrip()
            finding = replace(finding, call=Call.WAITS, reason="rests_on_open", detail=detail, until=None)
        if awaited is not None or finding.call is Call.WAITS:
            unsettled.add(rule.check)
        findings.append(finding)
    return tuple(findings)
