"""What lost answers, a busy, denying, missing or small table mean: no record is lost and no save is told wrong."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.azurite import ACCOUNT, KEY, Azurite
from tests.ledger.flaky import Fault, Flaky, flaky
from tests.ledger.tables import new_name, table_ledger
from watcher.errors import Conflict, Terminal, Transient
from watcher.ledger.address import Variable
from watcher.ledger.table import TableLedger, keys
from watcher.ledger.table import connection as table_connection
from watcher.ledger.table.trouble import translate
from watcher.ports import Line
from watcher.retry import Retry

LOST = Fault(after=True)
"""The service has written it, and the answer never comes."""
LINE = Line(1.0, "m", "seen", version=1)
MANY = [Line(float(n), "m", "live", "api", n) for n in range(21)]
"""More than fit into the record's transaction: their rows take two of their own."""
DENIED = (
    "access was denied ({}); give this identity the role Storage Table Data Contributor on the storage account, or"
    " correct the key, and let its network reach the account"
)
LARGE = secrets.token_hex(600_000)
"""Takes more than half a row however well it is compressed."""


@pytest.fixture
def way(azurite: Azurite) -> Iterator[Flaky]:
    with flaky(azurite.table) as opened:
        yield opened


@pytest.fixture
def name() -> str:
    return new_name()


@pytest.fixture
def ledger(azurite: Azurite, way: Flaky, name: str) -> Iterator[TableLedger]:
    """A ledger that is reached by a way on which things go wrong, and which was used before."""
    opened = table_ledger(azurite, name, way.port, Retry(attempts=3, sleep=lambda _: None))
    opened.load("m")
    yield opened
    opened.close()


@pytest.fixture
def other(azurite: Azurite, name: str) -> Iterator[TableLedger]:
    """Another worker on the same table, by a way that works."""
    opened = table_ledger(azurite, name)
    yield opened
    opened.close()


def body(ledger: TableLedger, key: str = "m") -> dict[str, Any]:
    stored = ledger.load(key)
    assert stored is not None
    return dict(stored.body)


def row_keys(azurite: Azurite, name: str) -> list[str]:
    return sorted(row["RowKey"] for row in raw(azurite, name).list_entities())


def raw(azurite: Azurite, name: str) -> Any:
    from azure.data.tables import TableClient

    return TableClient.from_connection_string(azurite.connection, name)


@pytest.mark.parametrize("lines", [[], [LINE], MANY], ids=["no line", "one line", "more than a transaction"])
@pytest.mark.parametrize(
    "fault",
    [LOST, Fault(after=True, status=500), Fault(), Fault(503, "ServerBusy")],
    ids=["answer lost", "error after the write", "connection cut before it", "busy"],
)
def test_a_save_each_of_whose_requests_has_to_be_repeated_is_written_once(
    ledger: TableLedger, way: Flaky, fault: Fault, lines: list[Line]
) -> None:
    first = ledger.save("m", {"n": 1}, None, due=1.0)
    way.faults += [fault, None] * 3
    second = ledger.save("m", {"n": 2}, first, lines, due=2.0)
    assert len(way.faults) == (0 if lines is MANY else 4)
    way.faults.clear()
    stored = ledger.load("m")
    assert stored is not None
    assert (stored.body, stored.revision) == ({"n": 2}, second)
    assert ledger.history("m", newest_first=False) == lines
    assert (ledger.due(1.5), ledger.due(2.0)) == ([], ["m"])
    ledger.save("m", {"n": 3}, second)


def test_a_first_save_whose_answer_is_lost_is_no_conflict_with_itself(ledger: TableLedger, way: Flaky) -> None:
    way.faults += [LOST, LOST]
    revision = ledger.save("m", {"n": 1}, None, [LINE])
    ledger.save("m", {"n": 2}, revision)
    assert len(ledger.history()) == 1


@pytest.mark.parametrize("lines", [[LINE], MANY], ids=["one line", "more than a transaction"])
def test_a_save_that_was_written_and_overwritten_before_it_was_answered_is_told_as_written(
    ledger: TableLedger, other: TableLedger, way: Flaky, lines: list[Line]
) -> None:
    def overwrite() -> None:
        stored = other.load("m")
        assert stored is not None
        other.save("m", {"by": "the other"}, stored.revision)

    first = ledger.save("m", {"n": 1}, None)
    way.faults += [*[None] * (2 if lines is MANY else 0), Fault(after=True, meanwhile=overwrite)]
    second = ledger.save("m", {"n": 2}, first, lines)
    assert ledger.history(newest_first=False) == lines
    assert body(ledger) == {"by": "the other"}
    with pytest.raises(Conflict):
        ledger.save("m", {"n": 3}, second)


def test_a_race_lost_while_the_answer_is_awaited_is_a_conflict_and_nothing_is_left(
    ledger: TableLedger, other: TableLedger, way: Flaky, azurite: Azurite, name: str
) -> None:
    first = ledger.save("m", {"n": 1}, None)
    way.faults.append(Fault(after=True, meanwhile=lambda: other.save("m", {"by": "the other"}, first)))
    with pytest.raises(Conflict, match="'m' was written by somebody else"):
        ledger.save("m", {"n": 2}, first, MANY, due=5.0)
    assert body(ledger) == {"by": "the other"}
    assert row_keys(azurite, name) == ["r!m"]


def test_a_race_that_was_lost_before_writes_nothing_ahead(ledger: TableLedger, other: TableLedger, way: Flaky) -> None:
    first = ledger.save("m", {"n": 1}, None)
    other.save("m", {"n": 2}, first)
    way.faults += [LOST] * 9
    with pytest.raises(Conflict, match="'m' was written by somebody else"):
        ledger.save("m", {"n": 3}, first, MANY)
    assert len(way.faults) == 9


def test_what_a_lost_race_leaves_behind_is_not_shown(ledger: TableLedger, other: TableLedger, way: Flaky) -> None:
    first = ledger.save("m", {"n": 1}, None)
    way.faults.append(Fault(after=True, meanwhile=lambda: other.save("m", {"by": "the other"}, first)))
    way.faults += [None, None, None, *[Fault(403, "AuthorizationFailure")] * 2]
    with pytest.raises(Conflict):
        ledger.save("m", {"n": 2}, first, MANY)
    assert way.faults == []
    assert other.history("m") == []


def test_a_table_that_somebody_makes_at_the_same_time_is_used(ledger: TableLedger, way: Flaky) -> None:
    ledger.save("m", {"n": 1}, None)
    way.reading.append(Fault(404, "TableNotFound"))
    assert body(ledger) == {"n": 1}
    assert way.reading == []


def test_lines_written_ahead_of_a_record_are_not_seen_before_it(
    ledger: TableLedger, other: TableLedger, way: Flaky
) -> None:
    ledger.save("before", {}, None, [Line(0.5, "m", "seen")])
    seen: list[object] = []
    look = Fault(after=True, meanwhile=lambda: seen.append(other.history("m")))
    way.faults += [look, None, look, None]
    ledger.save("m", {}, None, MANY)
    assert seen == [[Line(0.5, "m", "seen")]] * 2
    assert len(other.history("m")) == len(MANY) + 1


def test_a_service_that_stays_busy_is_transient_and_its_wish_is_passed_on(ledger: TableLedger, way: Flaky) -> None:
    way.faults += [Fault(503, "ServerBusy", (("Retry-After", "7"),))] * 3
    with pytest.raises(Transient, match=r"busy \(503 ServerBusy\)") as caught:
        ledger.save("m", {}, None)
    assert caught.value.retry_after == 7.0
    assert ledger.load("m") is None


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(403, "AuthorizationPermissionMismatch"), Terminal(DENIED.format("403 AuthorizationPermissionMismatch"))),
        (Fault(401, "NoAuthenticationInformation"), Terminal(DENIED.format("401 NoAuthenticationInformation"))),
        (Fault(400, "InvalidInput"), Terminal("the storage account refused the call (400 InvalidInput)")),
        (Fault(400), Terminal("the storage account refused the call (400)")),
        (
            Fault(413, "RequestBodyTooLarge"),
            Terminal("what was to be written is too large for a table (413 RequestBodyTooLarge)"),
        ),
        (Fault(409, "TableBeingDeleted"), Transient("its table is being deleted", 40.0)),
        (Fault(429, "TooManyRequests"), Transient("the storage account is busy (429 TooManyRequests)")),
        (
            Fault(500, "InternalError", (("Retry-After", "0.5"),)),
            Transient("the storage account is busy (500 InternalError)", 0.5),
        ),
        (Fault(503, headers=(("Retry-After", "soon"),)), Transient("the storage account is busy (503)")),
        (Fault(), Transient("the storage account does not answer (ServiceResponseError)")),
    ],
)
def test_an_answer_is_translated_by_its_status(
    ledger: TableLedger, way: Flaky, fault: Fault, expected: Terminal | Transient
) -> None:
    way.reading += [fault] * 3
    with pytest.raises(type(expected)) as caught:
        ledger.load("m")
    assert ledger.where == f"table+env://AzureWebJobsStorage/{ledger.where.rpartition('/')[2]}"
    assert str(caught.value) == f"ledger {ledger.where}: {expected}"
    assert getattr(caught.value, "retry_after", None) == getattr(expected, "retry_after", None)
    way.reading.clear()
    assert ledger.load("m") is None


def test_a_wrong_key_is_terminal_and_is_not_shown(azurite: Azurite) -> None:
    from azure.data.tables import TableClient

    wrong = azurite.connection.replace(KEY, f"Abcd{KEY[4:]}")
    ledger = TableLedger(lambda: TableClient.from_connection_string(wrong, "ledger", retry_total=0), "table://a/ledger")
    with pytest.raises(Terminal, match=r"table://a/ledger: access was denied") as caught:
        ledger.load("m")
    assert KEY[4:20] not in str(caught.value)


def test_no_identity_is_terminal_and_says_how_to_get_one() -> None:
    from azure.core.exceptions import ClientAuthenticationError

    error = translate(ClientAuthenticationError("a long text of nine credentials"), "table://a/ledger")
    assert isinstance(error, Terminal)
    assert str(error) == (
        "ledger table://a/ledger: there is no Azure identity to use; sign in with `az login`, or give the app a managed"
        " identity and its client id (AZURE_CLIENT_ID)"
    )


def test_an_error_that_says_nothing_of_itself_is_translated_too() -> None:
    from azure.core.exceptions import HttpResponseError

    error = HttpResponseError("text that says nothing")
    error.status_code = 503
    told = translate(error, "table://a/ledger")
    assert isinstance(told, Transient)
    assert str(told) == "ledger table://a/ledger: the storage account is busy (503)"
    assert told.retry_after is None


def test_a_service_that_never_answers_is_given_up_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_connection, "_CLIENT", {"retry_total": 0, "connection_timeout": 0.2, "read_timeout": 0.2})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = f"AccountName={ACCOUNT};AccountKey={KEY};TableEndpoint=http://127.0.0.1:{silent.getsockname()[1]}/{ACCOUNT};"
        address = Variable("V", "ledger")
        ledger = TableLedger(table_connection.connection(address, {"V": text}), "here", Retry(3, 0.01, 0.01, 5.0))
        began = time.monotonic()
        with pytest.raises(Transient, match="does not answer"):
            ledger.load("m")
        assert time.monotonic() - began < 3.0


def test_a_table_that_was_deleted_is_made_again_and_the_record_counts_as_lost(
    ledger: TableLedger, azurite: Azurite, name: str
) -> None:
    first = ledger.save("m", {"n": 1}, None, [LINE], due=1.0)
    raw(azurite, name).delete_table()
    with pytest.raises(Conflict):
        ledger.save("m", {"n": 2}, first, [LINE], due=2.0)
    assert ledger.load("m") is None
    assert ledger.history() == []
    ledger.save("m", {"n": 2}, None)


def test_an_appointment_that_somebody_removed_does_not_keep_the_record_from_being_saved(
    ledger: TableLedger, azurite: Azurite, name: str
) -> None:
    first = ledger.save("m", {"n": 1}, None, due=1.0)
    raw(azurite, name).delete_entity(keys.PARTITION, keys.appointment("m", 1.0))
    second = ledger.save("m", {"n": 2}, first, [LINE], due=2.0)
    assert body(ledger) == {"n": 2}
    assert ledger.due(9.0) == ["m"]
    ledger.save("m", {"n": 2}, second, due=2.0)
    assert ledger.history() == [LINE]


def test_a_record_larger_than_a_property_comes_back_whole(ledger: TableLedger) -> None:
    bodies: list[dict[str, Any]] = [
        {"text": "x" * 32_000},
        {"text": "x" * 70_000},
        {"text": "\ud800é\x00" * 40_000},
        {"text": LARGE},
    ]
    revision = None
    for large in bodies:
        revision = ledger.save("m", large, revision, [Line(1.0, "m", "live", "api", data=large)])
        assert body(ledger) == large
        assert ledger.history("m", most=1)[0].data == large


def test_a_record_or_line_larger_than_a_row_is_refused_and_what_was_there_stays(ledger: TableLedger) -> None:
    first = ledger.save("m", {"n": 1}, None)
    told = (
        r"^ledger: the record of 'm' takes [\d,]+ bytes even compressed, and a row of a table holds 983,040;"
        " log less with the version, or keep the ledger in sqlite:///FILE$"
    )
    with pytest.raises(Terminal, match=told):
        ledger.save("m", {"text": LARGE * 2}, first)
    with pytest.raises(Terminal, match="a history line of 'm' takes"):
        ledger.save("m", {"n": 2}, first, [LINE, Line(2.0, "m", "seen", data={"text": LARGE * 2})])
    assert body(ledger) == {"n": 1}
    assert ledger.history() == []
    ledger.save("m", {"n": 2}, first)


def test_more_lines_than_a_transaction_has_rows_come_with_their_record(ledger: TableLedger) -> None:
    lines = [Line(float(n), "m", "seen", version=n) for n in range(110)]
    ledger.save("m", {}, None, lines)
    assert ledger.history("m", newest_first=False) == lines
    assert ledger.history(event="seen", most=3) == lines[:-4:-1]


@pytest.mark.parametrize("text", ["{", "[1]", "", "null", "[1, 2, 3, 4, 5, 6, 7]"])
def test_rows_that_somebody_changed_are_left_out_and_said_so(
    ledger: TableLedger, azurite: Azurite, name: str, text: str
) -> None:
    ledger.save("m", {"n": 1}, None, [LINE, Line(2.0, "m", "seen")], due=1.0)
    ledger.save("other", {}, None, due=2.0)
    table = raw(azurite, name)
    newest = min(key for key in row_keys(azurite, name) if key.startswith("hm!"))
    for key in ("r!m", keys.appointment("m", 1.0), newest):
        table.update_entity({"PartitionKey": keys.PARTITION, "RowKey": key, "text": text})
    assert ledger.history("m") == [LINE]
    assert ledger.due(9.0) == ["other"]
    assert [note.rpartition(" the row ")[2].partition(" is not as")[0][:2] for note in ledger.notes] == ["hm", "d!"]
    stored = ledger.load("m")
    assert stored is not None
    assert stored.body == {}
    ledger.save("m", {"n": 2}, stored.revision)


def test_a_time_that_is_no_number_is_refused(ledger: TableLedger) -> None:
    with pytest.raises(Terminal, match="not a number"):
        ledger.save("m", {}, None, due=float("nan"))
    with pytest.raises(Terminal, match="not a number"):
        ledger.save("m", {}, None, [Line(float("nan"), "m", "seen")])
    assert ledger.load("m") is None
