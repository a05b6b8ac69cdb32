"""Addresses of ledgers in tables: what is taken, what is refused, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.azurite import Azurite
from tests.ledger.tables import VARIABLE, new_name
from watcher.errors import UserError
from watcher.ledger import open_ledger
from watcher.ledger.address import Account, Variable, parse
from watcher.ledger.table.connection import connection

HERE = Path("/nowhere")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("table://watcher01/ledger", Account("watcher01.table.core.windows.net", "ledger")),
        ("table://acc.table.core.chinacloudapi.cn/Ledger2", Account("acc.table.core.chinacloudapi.cn", "Ledger2")),
        ("table+env://AzureWebJobsStorage/ledger", Variable("AzureWebJobsStorage", "ledger")),
    ],
)
def test_an_address_of_a_table_is_read(address: str, expected: object) -> None:
    assert parse(address) == expected


@pytest.mark.parametrize(
    "address",
    [
        "table://",
        "table://account",
        "table://account/",
        "table://account/ab",
        "table://account/1edger",
        "table://account/led-ger",
        "table://Account/ledger",
        "table://account/ledger/more",
        "table://user:SECRET@account/ledger",
        "table+env://VARIABLE",
        "table+env://A-B/ledger",
        "table+env:///ledger",
        "tables://account/ledger",
    ],
)
def test_another_is_a_mistake_that_says_how_tables_are_named(address: str) -> None:
    with pytest.raises(UserError, match=r"table://ACCOUNT/TABLE .*table\+env://VARIABLE/TABLE") as caught:
        parse(address)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("address", ["AccountKey=SECRET==", "DefaultEndpointsProtocol=https;AccountKey=SECRET=="])
def test_a_connection_string_in_place_of_an_address_is_not_shown(address: str) -> None:
    with pytest.raises(UserError) as caught:
        open_ledger(address, HERE)
    assert "SECRET" not in str(caught.value)


def test_a_variable_holds_the_connection_string(azurite: Azurite) -> None:
    name = new_name()
    ledger = open_ledger(f"table+env://{VARIABLE}/{name}", HERE, {VARIABLE: azurite.connection})
    ledger.save("m", {"n": 1}, None)
    again = open_ledger(f"table+env://{VARIABLE}/{name}", HERE, {VARIABLE: azurite.connection})
    assert again.load("m") == ledger.load("m")


def test_a_variable_that_is_not_set_is_named_with_what_it_should_hold() -> None:
    for environ in ({}, {VARIABLE: ""}):
        with pytest.raises(UserError, match=f"no variable {VARIABLE}; .*{VARIABLE}__accountName"):
            open_ledger(f"table+env://{VARIABLE}/ledger", HERE, environ)


@pytest.mark.parametrize(
    "text", ["nonsense", "AccountName=a;AccountKi=SECRET", "AccountName=a", "=;=", "AccountName=a;AccountKey=SECRET!"]
)
def test_a_variable_that_holds_no_connection_string_is_named_and_its_value_is_not(text: str) -> None:
    with pytest.raises(UserError, match=f"the variable {VARIABLE} is not a connection string") as caught:
        open_ledger(f"table+env://{VARIABLE}/ledger", HERE, {VARIABLE: text})
    assert "SECRET" not in str(caught.value)


def test_azurite_of_the_own_machine_is_reached_by_its_short_form() -> None:
    client = connection(Variable(VARIABLE, "ledger"), {VARIABLE: "UseDevelopmentStorage=true"})()
    assert (client.url, client.table_name) == ("http://127.0.0.1:10002/devstoreaccount1", "ledger")


@pytest.mark.parametrize(
    ("address", "environ", "url"),
    [
        ("table://watcher01/ledger", {}, "https://watcher01.table.core.windows.net"),
        (f"table+env://{VARIABLE}/ledger", {f"{VARIABLE}__accountName": "own"}, "https://own.table.core.windows.net"),
        (
            f"table+env://{VARIABLE}/ledger",
            {
                f"{VARIABLE}__tableServiceUri": "https://own.table.core.usgovcloudapi.net",
                f"{VARIABLE}__clientId": "1-2",
            },
            "https://own.table.core.usgovcloudapi.net",
        ),
    ],
)
def test_an_identity_needs_no_secret(address: str, environ: dict[str, str], url: str) -> None:
    found = parse(address)
    assert isinstance(found, Account | Variable)
    client = connection(found, environ)()
    assert (client.url, client.table_name) == (url, "ledger")
    assert "Credential" in type(client.credential).__name__
