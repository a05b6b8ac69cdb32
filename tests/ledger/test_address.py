"""Addresses of ledgers in tables: what is taken, what is refused, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.azurite import Azurite
from tests.ledger.tables import VARIABLE, new_name
from watcher.errors import UserError
from watcher.ledger import open_ledger
from watcher.ledger.address import Account, File, Variable, parse, problem
from watcher.ledger.table.connection import connection

HERE = Path("/nowhere")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("table://watcher01/ledger", Account("watcher01.table.core.windows.net", "ledger")),
        ("table://acc.table.core.chinacloudapi.cn/Ledger2", Account("acc.table.core.chinacloudapi.cn", "Ledger2")),
        ("table+env://AzureWebJobsStorage/ledger", Variable("AzureWebJobsStorage", "ledger")),
        ("sqlite:///X", File("X")),
    ],
)
def test_an_address_is_read(address: str, expected: object) -> None:
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


def test_what_is_wrong_is_said_with_every_form_that_would_do() -> None:
    assert problem("sqlite:///ledger.db") is None
    assert problem("table://account") == (
        "is not the address of a table; write table://ACCOUNT/TABLE (own identity) or table+env://VARIABLE/TABLE"
        " (connection string in that environment variable); TABLE is 3 to 63 letters and digits, a letter first"
    )
    assert problem("redis://") == (
        "is not the address of a ledger; write sqlite:///FILE (below the folder of the settings), sqlite:////FILE"
        " (absolute), table://ACCOUNT/TABLE or table+env://VARIABLE/TABLE"
    )


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
    ledger.close()
    ledger.close()


def test_a_variable_is_looked_for_in_the_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "UseDevelopmentStorage=true")
    ledger = open_ledger(f"table+env://{VARIABLE}/ledger", HERE)
    assert getattr(ledger, "where", None) == f"table+env://{VARIABLE}/ledger"


def test_a_variable_that_is_not_set_is_named_with_what_it_should_hold() -> None:
    for environ in ({}, {VARIABLE: ""}):
        with pytest.raises(UserError, match=f"no variable {VARIABLE}; .*{VARIABLE}__accountName"):
            open_ledger(f"table+env://{VARIABLE}/ledger", HERE, environ)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "AccountName=a;AccountKi=SECRET",
        "AccountName=a",
        "=;=",
        "AccountName=a;AccountKey=SECRET!",
        "AccountName=a;AccountKey=SECRET!AA",
    ],
)
def test_a_variable_that_holds_no_connection_string_is_named_and_its_value_is_not(text: str) -> None:
    with pytest.raises(UserError) as caught:
        open_ledger(f"table+env://{VARIABLE}/ledger", HERE, {VARIABLE: text})
    assert str(caught.value) == (
        f"ledger: the variable {VARIABLE} is not a connection string of a storage account; copy one from its access"
        " keys, or write UseDevelopmentStorage=true for Azurite"
    )


def test_azurite_of_the_own_machine_is_reached_by_its_short_form() -> None:
    client = connection(Variable(VARIABLE, "ledger"), {VARIABLE: "UseDevelopmentStorage=true"})()
    assert (client.url, client.table_name) == ("http://127.0.0.1:10002/devstoreaccount1", "ledger")


@pytest.mark.parametrize(
    ("address", "environ", "url", "identity"),
    [
        ("table://watcher01/ledger", {}, "https://watcher01.table.core.windows.net", {}),
        (
            f"table+env://{VARIABLE}/ledger",
            {f"{VARIABLE}__accountName": "own"},
            "https://own.table.core.windows.net",
            {},
        ),
        (
            f"table+env://{VARIABLE}/ledger",
            {
                f"{VARIABLE}__tableServiceUri": "https://own.table.core.usgovcloudapi.net",
                f"{VARIABLE}__clientId": "1-2",
            },
            "https://own.table.core.usgovcloudapi.net",
            {"managed_identity_client_id": "1-2"},
        ),
    ],
)
def test_an_identity_needs_no_secret(
    address: str,
    environ: dict[str, str],
    url: str,
    identity: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from azure import identity as azure_identity

    asked: list[dict[str, str]] = []
    credential = azure_identity.DefaultAzureCredential

    def recorded(**given: str) -> azure_identity.DefaultAzureCredential:
        asked.append(given)
        return credential(**given)

    monkeypatch.setattr(azure_identity, "DefaultAzureCredential", recorded)
    found = parse(address)
    assert isinstance(found, Account | Variable)
    client = connection(found, environ)()
    assert (client.url, client.table_name) == (url, "ledger")
    assert isinstance(client.credential, credential)
    assert asked == [identity]
