"""What has to pass besides the numbers: time, a person's approval, no hold."""

from __future__ import annotations

from watcher.judge.case import Case, no_objection, not_asked_for
from watcher.sentences import stamp
from watcher.text import plain
from watcher.values import Call, Finding


def old_enough(case: Case) -> Finding:
    """The version has reached the policy's minimum age, counted from its creation.

    From when it was first seen where that is earlier: then the registry's clock is ahead of ours.
    """
    least = case.policy.min_age
    if least <= 0:
        return not_asked_for("old_enough")
    born = min(case.version.identity.created_ms / 1000, case.first_seen)
    age, until = case.now - born, born + least
    measured, bound = duration(age), f"≥ {duration(least)}"
    if case.now < until:
        return Finding("old_enough", Call.WAITS, "too_young", measured, bound, until=until)
    return no_objection("old_enough", measured, bound)


def approved(case: Case) -> Finding:
    """A person wrote the policy's approval tag on the version, and not too long ago."""
    asked = case.policy.approval
    if asked is None:
        return not_asked_for("approved")
    who = case.version.tags.get(asked.tag, "")
    bound = f"tag `{plain(asked.tag, 100)}`"
    if not who.strip():
        return Finding("approved", Call.WAITS, "approval_missing", "none", bound)
    measured = plain(who, 100)
    if asked.expires is None:
        return no_objection("approved", measured, bound)
    seen = case.record.approved.get(f"{case.version.identity.key}={who}", case.now)
    if case.now >= seen + asked.expires:
        detail = f"It was given {duration(case.now - seen)} ago and holds for {duration(asked.expires)}."
        return Finding("approved", Call.WAITS, "approval_expired", measured, bound, detail)
    left = duration(seen + asked.expires - case.now)
    return no_objection("approved", measured, bound, f"It holds for another {left}.")


def in_window(case: Case) -> Finding:
    """Winners may go now; outside the window the finding names when they may."""
    window = case.policy.change_window
    if window is None:
        return not_asked_for("in_window")
    bound, opens = plain(window.says()), window.opens(case.now)
    if opens is None:
        return Finding("in_window", Call.WAITS, "outside_window", "closed", bound, "It never opens again.")
    if opens > case.now:
        detail = f"It opens at {stamp(opens)}."
        return Finding("in_window", Call.WAITS, "outside_window", "closed", bound, detail, opens)
    return no_objection("in_window", "open", bound)


def not_held(case: Case) -> Finding:
    """No person holds the model."""
    if case.marks.hold is None:
        return no_objection("not_held")
    return Finding("not_held", Call.WAITS, "held", "held", "not held", plain(case.marks.hold))


def duration(seconds: float) -> str:
    """`45s`, `12m`, `3h 20m`, `2d 4h`: the two largest units."""
    left = max(int(seconds), 0)
    parts = []
    for name, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{name}")
    return " ".join(parts[:2]) or "0s"
