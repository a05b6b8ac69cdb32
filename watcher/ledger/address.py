"""Where a ledger is kept, as the user's file says it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from watcher.errors import UserError

SQLITE = "sqlite:///"
_IDENTITY = re.compile(
    r"table://(?P<account>[a-z0-9]{3,24}|[a-z0-9-]+(\.[a-z0-9-]+)+)/(?P<table>[A-Za-z][A-Za-z0-9]{2,62})"
)
_VARIABLE = re.compile(r"table\+env://(?P<variable>[A-Za-z_][A-Za-z0-9_]*)/(?P<table>[A-Za-z][A-Za-z0-9]{2,62})")


@dataclass(frozen=True, slots=True)
class File:
    """A SQLite file; a relative path starts at the folder of the settings."""

    path: str


@dataclass(frozen=True, slots=True)
class Account:
    """A table of a storage account that lets our own identity in."""

    host: str
    table: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A table of the storage account that environment variables speak of, as Azure Functions' connections do."""

    name: str
    table: str


def parse(address: str) -> File | Account | Variable:
    """Read an address. Raises UserError for one of another form; the message holds no secret."""
    found = _read(address)
    if found is None:
        raise UserError(f"ledger: this {problem(address)}")
    return found


def problem(address: str) -> str | None:
    """What is wrong with an address and what to write instead, None where nothing is. It holds nothing of the text."""
    if _read(address) is not None:
        return None
    if address.startswith("table"):
        return (
            "is not the address of a table; write table://ACCOUNT/TABLE (own identity) or table+env://VARIABLE/TABLE"
            " (connection string in that environment variable); TABLE is 3 to 63 letters and digits, a letter first"
        )
    return (
        "is not the address of a ledger; write sqlite:///FILE (below the folder of the settings), sqlite:////FILE"
        " (absolute), table://ACCOUNT/TABLE or table+env://VARIABLE/TABLE"
    )


def _read(address: str) -> File | Account | Variable | None:
    path = address.removeprefix(SQLITE)
    if path not in ("", address) and not path.endswith("/"):
        return File(path)
    if found := _IDENTITY.fullmatch(address):
        account = found["account"]
        return Account(account if "." in account else f"{account}.table.core.windows.net", found["table"])
    if found := _VARIABLE.fullmatch(address):
        return Variable(found["variable"], found["table"])
    return None
