"""From an address to a client of one table. No call is made, and nothing is retried here: the ledger does that."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from watcher.errors import UserError
from watcher.ledger.address import Account, Variable

if TYPE_CHECKING:
    from azure.data.tables import TableClient

CONNECT = 5.0
"""Seconds."""
READ = 10.0
"""Seconds without a byte."""
_CLIENT: Mapping[str, Any] = {"retry_total": 0, "connection_timeout": CONNECT, "read_timeout": READ}


def connection(address: Account | Variable, environ: Mapping[str, str]) -> Callable[[], TableClient]:
    """What makes a client. Raises UserError where the environment does not say what the address wants of it."""
    if isinstance(address, Account):
        return lambda: _by_identity(f"https://{address.host}", address.table, None)
    text = environ.get(address.name)
    if text:
        _by_text(text, address)
        return lambda: _by_text(text, address)
    account = environ.get(f"{address.name}__accountName")
    endpoint = environ.get(f"{address.name}__tableServiceUri") or (
        f"https://{account}.table.core.windows.net" if account else None
    )
    if endpoint is None:
        raise UserError(
            f"ledger: the environment has no variable {address.name}; set it to the connection string of the storage"
            f" account, or {address.name}__accountName to its name where an identity is used"
        )
    client_id = environ.get(f"{address.name}__clientId")
    return lambda: _by_identity(endpoint, address.table, client_id)


def _by_text(text: str, address: Variable) -> TableClient:
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.data.tables import TableClient

    try:
        client = TableClient.from_connection_string(text, address.table, **_CLIENT)
        if isinstance(client.credential, AzureNamedKeyCredential):
            base64.b64decode(client.credential.named_key.key, validate=True)
        return client
    except ValueError:
        raise UserError(
            f"ledger: the variable {address.name} is not a connection string of a storage account; copy one from its"
            " access keys, or write UseDevelopmentStorage=true for Azurite"
        ) from None


def _by_identity(endpoint: str, table: str, client_id: str | None) -> TableClient:
    from azure.data.tables import TableClient
    from azure.identity import DefaultAzureCredential

    mine = {"managed_identity_client_id": client_id} if client_id else {}
    return TableClient(endpoint, table, credential=DefaultAzureCredential(**mine), **_CLIENT)
