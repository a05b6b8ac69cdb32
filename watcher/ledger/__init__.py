"""The loop's memory. `open_ledger` turns the address in the user's file into a ledger."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.ledger.address import SQLITE, File, parse

if TYPE_CHECKING:
    from watcher.ledger.sqlite import SqliteLedger
    from watcher.ledger.table import TableLedger

__all__ = ["SQLITE", "open_ledger"]


def open_ledger(url: str, folder: Path, environ: Mapping[str, str] | None = None) -> SqliteLedger | TableLedger:
    """Open the ledger at `url`.

    `sqlite:///state/ledger.db` starts at `folder`, `sqlite:////var/ledger.db` is absolute. A damaged file is moved
    aside and started again; `notes` of the ledger then says so and must be shown. `table://ACCOUNT/TABLE` is a table of
    Azure Storage, `table+env://VARIABLE/TABLE` one whose connection `environ` (by default the process's) speaks of.
    Raises UserError for an address of another form or a variable that is not set, Terminal or Transient where the file
    cannot be used. A table is not looked at before the first call.
    """
    address = parse(url)
    if isinstance(address, File):
        from watcher.ledger.sqlite import SqliteLedger

        return SqliteLedger(folder / address.path)
    from watcher.ledger.table import TableLedger
    from watcher.ledger.table.connection import connection

    return TableLedger(connection(address, os.environ if environ is None else environ), url)
