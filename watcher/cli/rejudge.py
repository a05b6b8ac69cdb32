"""`watcher rejudge`."""

from __future__ import annotations

from watcher.cli.asked import carry_out
from watcher.cli.models import Model, Number, existing, find_version
from watcher.cli.session import Session
from watcher.text import plain


def rejudge(session: Session, model: Model, version: Number) -> None:
    """Have a version judged again.

    Its verdict is cleared, and the floor lowered beneath it.
    """
    watched = existing(session, model)
    find_version(session, watched, version)
    recorded = carry_out(
        session, watched.name, "rejudge", lambda: session.app.registry.rejudge(watched.name, version), version=version
    )
    session.out.give({"model": watched.name, "order": "rejudge", "version": version, "recorded": recorded})
    session.out.say(f"{plain(watched.name)} v{version} is going to be judged again.")
