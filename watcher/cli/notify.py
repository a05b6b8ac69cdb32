"""`watcher notify`."""

from __future__ import annotations

from watcher.cli.exits import Exit
from watcher.cli.session import Session
from watcher.errors import UserError


def notify(session: Session) -> Exit:
    """Send a test notification to every address of the settings."""
    from watcher.messenger import AppriseMessenger, service_of

    settings = session.app.settings
    if not settings.notify.urls:
        raise UserError("The settings name nobody to notify: write `notify: {urls: [...]}` in them.")
    services = [service_of(number, url) for number, url in enumerate(settings.notify.urls)]
    messenger = AppriseMessenger(settings.notify.urls)
    with session.out.busy("Waiting for the services"):
        title, body = "A test of the registry watcher", f"The watcher {settings.owner} can reach you here."
        arrived = messenger.send(title, body, range(messenger.addresses))
    told = [(f"notify.urls[{n}]", service, n in arrived) for n, service in enumerate(services)]
    session.out.give([{"address": address, "service": service, "taken": taken} for address, service, taken in told])
    rows = [(address, service, "taken" if taken else "NOT TAKEN") for address, service, taken in told]
    session.out.table(("address", "service", ""), rows)
    return Exit.OK if len(arrived) == len(services) else Exit.NO
