"""`watcher gateway start`, `stop` and `status`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from watcher.cli.exits import Exit
from watcher.cli.session import Session
from watcher.errors import Transient, UserError
from watcher.text import plain

HomeOption = Annotated[
    Path | None, typer.Option("--home", metavar="DIR", help="By default every gateway that the settings name.")
]
KIND = "local-endpoint"


def start(session: Session, home: HomeOption = None) -> None:
    """Start the gateway, unless it runs already."""
    from gateway import control

    told = []
    for place in _homes(session, home):
        with _asked(session, f"Starting the gateway in {place}"):
            running = control.status(place) is not None
            if not running:
                control.start(place)
        told.append({"home": str(place), "changed": not running, "running": True})
    session.out.give(told)
    for one in told:
        session.out.say(f"The gateway in {plain(one['home'])} {'is started' if one['changed'] else 'runs already'}.")


def stop(session: Session, home: HomeOption = None) -> None:
    """Stop the gateway with everything that it serves."""
    from gateway import control

    told = []
    for place in _homes(session, home):
        with _asked(session, f"Stopping the gateway in {place}"):
            told.append({"home": str(place), "changed": control.stop(place), "running": False})
    session.out.give(told)
    for one in told:
        session.out.say(f"The gateway in {plain(one['home'])} {'is stopped' if one['changed'] else 'did not run'}.")


def status(session: Session, home: HomeOption = None) -> Exit:
    """Show what it serves; exit code 1 where none runs."""
    from gateway import control

    told = []
    for place in _homes(session, home):
        with _asked(session, f"Asking the gateway in {place}"):
            told.append((place, control.status(place)))
    session.out.give([{"home": str(place), "running": state is not None, "state": state} for place, state in told])
    for place, state in told:
        if state is None:
            session.out.say(f"No gateway runs in {plain(place)}.")
            continue
        session.out.say(f"The gateway in {plain(place)} runs.")
        session.out.table(("address", "model", "release", "state", "percent"), _rows(state))
    return Exit.OK if all(state is not None for _, state in told) else Exit.NO


def _rows(state: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for endpoint in state.get("endpoints", {}).values():
        address = f"{endpoint.get('host')}:{endpoint.get('port')}"
        weights = endpoint.get("weights", {})
        releases = endpoint.get("releases", {})
        rows += [
            (address, endpoint.get("model"), name, release.get("state"), weights.get(name, 0))
            for name, release in releases.items()
        ] or [(address, endpoint.get("model"), "–", "–", "–")]
    return rows


@contextlib.contextmanager
def _asked(session: Session, doing: str) -> Iterator[None]:
    from gateway.errors import GatewayError

    try:
        with session.out.busy(doing):
            yield
    except (GatewayError, OSError) as error:
        raise Transient(str(error)) from error


def _homes(session: Session, home: Path | None) -> list[Path]:
    if home is not None:
        return [home.expanduser().absolute()]
    from watcher.config.kinds import complete

    settings = session.app.settings
    found = {
        Path(complete(KIND, dict(target), settings.folder)["gateway"])
        for rule in settings.models
        for target in rule.targets
        if target["kind"] == KIND
    }
    homes = sorted(place for place in found if "{model" not in str(place))
    if not homes:
        raise UserError(f"No target in {session.config} has a gateway; name one with --home DIR.")
    return homes
