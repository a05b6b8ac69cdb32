"""The loop's memory. `open_ledger` turns the address in the user's file into a ledger."""

from __future__ import annotations

from pathlib import Path

from watcher.errors import UserError
from watcher.ledger.sqlite import SqliteLedger

SQLITE = "sqlite:///"


def open_ledger(url: str, folder: Path) -> SqliteLedger:
    """Open the ledger at `url`: `sqlite:///state/ledger.db` starts at `folder`, `sqlite:////var/ledger.db` is absolute.

    A damaged file is moved aside and started again; `notes` of the ledger then says so and must be shown.
    Raises UserError for an address of another form, Terminal or Transient where the file cannot be used.
    """
    path = url.removeprefix(SQLITE)
    if path == url or not path.strip("/") or path.endswith("/"):
        scheme = url.partition(":")[0][:40]
        raise UserError(
            f"ledger: an address that starts with {scheme!r} is not one; write sqlite:///FILE (below the folder of the"
            " settings) or sqlite:////FILE (absolute)"
        )
    return SqliteLedger(folder / path)
