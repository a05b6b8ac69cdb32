"""What a rule looks at, and the three things it may answer."""

from __future__ import annotations

from dataclasses import dataclass

from watcher.evaluations import Evaluated
from watcher.policy import Policy
from watcher.record import Record
from watcher.snapshot import Snapshot
from watcher.text import plain
from watcher.values import Artifacts, Call, Crown, EvidenceOf, Finding, Marks, Target, Version


@dataclass(frozen=True, slots=True)
class Case:
    """One version, the champion it has to beat (None: nothing was ever crowned), and what is known of both."""

    version: Version
    evidence: EvidenceOf | None
    champion: Version | None
    champion_evidence: EvidenceOf | None
    crown: Crown | None
    policy: Policy
    record: Record
    targets: tuple[Target, ...]
    marks: Marks
    now: float
    evaluated: Evaluated | None = None
    """How far the evaluation of the version against the champion is; None where it was not looked at."""

    @property
    def known(self) -> EvidenceOf:
        """The version's evidence; where it was not read, one that says so of its artifacts."""
        return self.evidence or EvidenceOf(self.version.identity, artifacts=Artifacts.UNKNOWN)

    @property
    def first_seen(self) -> float:
        return self.record.first_seen.get(self.version.identity.key, self.now)

    @property
    def evidence_due(self) -> float:
        """Until when missing evidence is waited for."""
        return self.first_seen + self.policy.evidence.wait_at_most


def case_of(snapshot: Snapshot, version: Version, now: float) -> Case:
    """The case of one version against the snapshot's champion. Evidence of another identity counts as not read."""
    champion = snapshot.champion
    return Case(
        version=version,
        evidence=_evidence(snapshot, version),
        champion=champion,
        champion_evidence=_evidence(snapshot, champion) if champion else None,
        crown=snapshot.marks.crown,
        policy=snapshot.watched.policy,
        record=snapshot.record,
        targets=snapshot.watched.targets,
        marks=snapshot.marks,
        now=now,
        evaluated=snapshot.evaluations.get(version.number),
    )


def _evidence(snapshot: Snapshot, version: Version) -> EvidenceOf | None:
    found = snapshot.evidence.get(version.number)
    return found if found is not None and found.identity == version.identity else None


def no_objection(rule: str, measured: str = "", bound: str = "", detail: str = "") -> Finding:
    """The rule lets the version pass."""
    return Finding(rule, Call.WINS, "no_objection", measured, bound, detail)


def not_asked_for(rule: str) -> Finding:
    """The policy says nothing that this rule could check."""
    return Finding(rule, Call.WINS, "not_in_policy", detail="The policy does not ask for it.")


def champion_unread(case: Case, rule: str) -> Finding | None:
    """What `rule` has to say where the champion's evidence as a whole is not there, None where it is."""
    if case.champion_evidence is None:
        return Finding(rule, Call.WAITS, "champion_evidence_missing", detail="The champion's evidence was not read.")
    if case.champion_evidence.problem is not None:
        return Finding(rule, Call.WAITS, "champion_incomparable", detail=plain(case.champion_evidence.problem))
    return None


def no_champion(rule: str) -> Finding:
    """Nothing was ever crowned, so there is nothing to compare with."""
    return Finding(rule, Call.WINS, "no_champion", detail="The first version has no champion to be compared with.")
