"""Whether the version may be looked at, and whether there is something to look at."""

from __future__ import annotations

from watcher.judge.case import Case, no_objection, not_asked_for
from watcher.text import plain, without_secrets
from watcher.values import Artifacts, Call, Finding, Status


def above_floor(case: Case) -> Finding:
    """Versions at or below the floor, or older than the champion, are superseded.

    Older is older by number and by creation: two versions made at once by two servers may have their times swapped.
    """
    floor = case.crown.floor if case.crown else 0
    measured, bound = f"version {case.version.number}", f"> {floor}"
    if case.version.number <= floor:
        return Finding("above_floor", Call.SUPERSEDED, "at_or_below_floor", measured, bound)
    champion = case.champion.identity if case.champion else None
    mine = case.version.identity
    if champion and mine.version < champion.version and mine.created_ms <= champion.created_ms:
        bound = f"newer than version {champion.version}"
        return Finding("above_floor", Call.SUPERSEDED, "older_than_champion", measured, bound)
    return no_objection("above_floor", measured, bound)


def registered(case: Case) -> Finding:
    """The registry has finished making the version."""
    status = case.version.status
    if status is Status.PENDING:
        return Finding("registered", Call.WAITS, "registration_pending", status, Status.READY)
    if status is Status.FAILED:
        return Finding("registered", Call.INVALID, "registration_failed", status, Status.READY)
    return no_objection("registered", status, Status.READY)


def artifacts_present(case: Case) -> Finding:
    """The storage confirms that there are artifacts; an answer that did not come waits."""
    found = case.known.artifacts
    if case.evidence is None:
        return Finding("artifacts_present", Call.WAITS, "evidence_unread", "not read", Artifacts.PRESENT)
    if found is Artifacts.ABSENT:
        where = plain(without_secrets(case.version.artifact_uri))
        return Finding("artifacts_present", Call.INVALID, "artifacts_absent", found, Artifacts.PRESENT, where)
    if found is Artifacts.UNKNOWN:
        return Finding("artifacts_present", Call.WAITS, "artifacts_unknown", found, Artifacts.PRESENT)
    return no_objection("artifacts_present", found, Artifacts.PRESENT)


def evidence_readable(case: Case) -> Finding:
    """What lies there can be read as a model's description."""
    if case.known.problem is not None:
        return Finding("evidence_readable", Call.INVALID, "evidence_unreadable", detail=plain(case.known.problem))
    return no_objection("evidence_readable")


def flavors_allowed(case: Case) -> Finding:
    """Every native flavour is one the policy allows.

    `python_function` wraps nearly every model and counts only where it stands alone: a model of the user's own code.
    """
    allowed = case.policy.flavors
    if not allowed:
        return not_asked_for("flavors_allowed")
    native = tuple(f for f in case.known.flavors if f != "python_function") or case.known.flavors
    refused = [f for f in native if f not in allowed]
    measured = plain(", ".join(native[:20])) or "none"
    bound = plain(" or ".join(allowed))
    if refused or not native:
        detail = f"Not allowed: {plain(', '.join(refused[:20]))}." if refused else "It declares no flavour."
        return Finding("flavors_allowed", Call.INVALID, "flavor_not_allowed", measured, bound, detail)
    return no_objection("flavors_allowed", measured, bound)
