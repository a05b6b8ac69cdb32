"""`watcher schema`."""

from __future__ import annotations

import json

from watcher.cli.session import Session


def schema(session: Session) -> None:
    """Print the JSON Schema of the settings file, for editors."""
    from watcher.config.json_schema import schema as made

    found = made()
    session.out.give(found)
    for line in json.dumps(found, indent=2).splitlines():
        session.out.say(line)
