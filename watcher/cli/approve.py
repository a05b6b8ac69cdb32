"""`watcher approve`."""

from __future__ import annotations

from datetime import UTC, datetime

from watcher.cli.asked import carry_out
from watcher.cli.models import Model, Number, existing, find_version
from watcher.cli.session import Session
from watcher.errors import UserError
from watcher.text import plain


def approve(session: Session, model: Model, version: Number) -> None:
    """Write the approval that the model's policy asks for."""
    watched = existing(session, model)
    approval = watched.policy.approval
    if approval is None:
        raise UserError(
            f"Policy {plain(watched.policy.name)!r} of model {plain(watched.name)} asks for no approval;"
            " add `approval: {tag: approved_by}` to it, or leave the version to the other rules."
        )
    find_version(session, watched, version)
    # With the time in it, so that approving again after it expired is another approval.
    who = f"{session.who} {datetime.now(UTC).isoformat(timespec='seconds')}"
    recorded = carry_out(
        session,
        watched.name,
        "approve",
        lambda: session.app.registry.approve(watched.name, version, approval.tag, who),
        version=version,
    )
    session.out.give(
        {"model": watched.name, "order": "approve", "version": version, "tag": approval.tag, "recorded": recorded}
    )
    session.out.say(f"{plain(watched.name)} v{version} is approved by {session.who} (tag {plain(approval.tag)}).")
