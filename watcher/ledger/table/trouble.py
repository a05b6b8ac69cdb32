"""What the answers of Azure Storage mean for the loop: chosen by type and status, never by text."""

from __future__ import annotations

from typing import Any

from watcher.errors import Terminal, Transient

_DENIED = (401, 403)
_AGAIN = (408, 425, 429)
_TOO_LARGE = 413
_SERVER = 500
_BEING_DELETED = "TableBeingDeleted"
_MISSING = "TableNotFound"
_GONE_FOR = 40.0
"""Seconds in which a deleted table's name cannot be used again, at least."""


def translate(error: Any, where: str) -> Transient | Terminal:
    """An AzureError as the loop understands it, with a sentence that names the ledger and no secret."""
    from azure.core.exceptions import ClientAuthenticationError

    status, code = getattr(error, "status_code", None), code_of(error)
    told = " ".join(filter(None, (str(status or ""), code)))
    if status in _DENIED:
        return Terminal(
            f"ledger {where}: access was denied ({told}); give this identity the role Storage Table Data Contributor on"
            " the storage account, or correct the key, and let its network reach the account"
        )
    if isinstance(error, ClientAuthenticationError):
        return Terminal(
            f"ledger {where}: there is no Azure identity to use; sign in with `az login`, or give the app a managed"
            " identity and its client id (AZURE_CLIENT_ID)"
        )
    if code == _BEING_DELETED:
        return Transient(f"ledger {where}: its table is being deleted", _GONE_FOR)
    if status is None:
        return Transient(f"ledger {where}: the storage account does not answer ({type(error).__name__})")
    if status in _AGAIN or status >= _SERVER:
        return Transient(f"ledger {where}: the storage account is busy ({told})", _asked(error))
    if status == _TOO_LARGE:
        return Terminal(f"ledger {where}: what was to be written is too large for a table ({told})")
    return Terminal(f"ledger {where}: the storage account refused the call ({told})")


def is_missing_table(error: Any) -> bool:
    """Whether the table has to be made first."""
    return code_of(error) == _MISSING


def code_of(error: Any) -> str:
    """The service's own code, such as TableNotFound; empty where there is none."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def _asked(error: Any) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return max(float(headers.get("Retry-After", "")), 0.0)
    except ValueError:
        return None
