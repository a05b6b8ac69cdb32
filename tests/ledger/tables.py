"""Ledgers in tables of their own."""

from __future__ import annotations

import secrets

from tests.azurite import Azurite, connection
from watcher.ledger.address import Variable
from watcher.ledger.table import TableLedger
from watcher.ledger.table.connection import connection as client_of
from watcher.retry import Retry

VARIABLE = "AzureWebJobsStorage"


def new_name() -> str:
    return f"t{secrets.token_hex(8)}"


def table_ledger(azurite: Azurite, name: str, port: int | None = None, retry: Retry | None = None) -> TableLedger:
    """The ledger in the table of that name; `port` is where the table service is reached, by default at itself."""
    text = connection(azurite.blob, azurite.queue, port or azurite.table)
    return TableLedger(client_of(Variable(VARIABLE, name), {VARIABLE: text}), f"table+env://{VARIABLE}/{name}", retry)
