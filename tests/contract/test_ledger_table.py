"""The ledger in a table of Azure Storage keeps the contract, between processes and across kills as well."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.azurite import Azurite
from tests.contract.ledger_suite import (
    LedgerSuite,
    assert_a_forked_child_does_no_harm,
    assert_each_revision_is_won_once,
)
from tests.ledger.tables import new_name, table_ledger
from watcher.ledger.table import TableLedger


@pytest.fixture
def ledger(azurite: Azurite) -> Iterator[TableLedger]:
    opened = table_ledger(azurite, new_name())
    yield opened
    opened.close()


class TestTableLedger(LedgerSuite):
    """As many examples and races as fit into seconds: each of them is several calls to a server."""

    examples = 12
    wins = 8


@pytest.mark.parametrize("wins", [15, pytest.param(200, marks=pytest.mark.long)])
def test_one_of_two_racing_processes_wins_each_revision(azurite: Azurite, wins: int) -> None:
    name = new_name()
    assert_each_revision_is_won_once(table_ledger, (azurite, name), wins, table_ledger(azurite, name))


def test_a_child_that_was_forked_uses_the_table_without_harm_to_the_parent(ledger: TableLedger) -> None:
    assert_a_forked_child_does_no_harm(ledger)


LINES = 25
"""Of each save: five rows for each are more than one transaction takes."""
WRITER = f"""
import sys
from tests.azurite import Azurite
from tests.ledger.tables import table_ledger
from watcher.ports import Line
ledger = table_ledger(Azurite(0, 0, int(sys.argv[1]), 0), sys.argv[2])
ledger.load("m")
print("ready", flush=True)
while True:
    stored = ledger.load("m")
    number = stored.body["number"] + 1 if stored else 1
    lines = [Line(float(number), "m", "live", "api", number, data={{"part": part}}) for part in range({LINES})]
    ledger.save("m", {{"number": number}}, stored.revision if stored else None, lines, due=float(number))
    print(number, flush=True)
"""


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.long)])
def test_a_kill_while_writing_leaves_a_record_with_all_its_lines_or_nothing(azurite: Azurite, kills: int) -> None:
    name, chance, before = new_name(), random.Random(7), 0
    for _ in range(kills):
        command = [sys.executable, "-c", WRITER, str(azurite.table), name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randint(2, 3)):
                writer.stdout.readline()
            # In the middle of the next save: it is what the process does nearly all of the time.
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(chance.random() * 0.1)
            writer.send_signal(signal.SIGKILL)
            acknowledged = [int(line) for line in writer.stdout.read().split()]
        after = table_ledger(azurite, name)
        stored = after.load("m")
        assert stored is not None
        number = stored.body["number"]
        assert number > before
        assert number >= max(acknowledged, default=0)
        for filters in ({}, {"event": "live"}, {"event": "live", "target": "api"}):
            lines = after.history("m", most=100_000, newest_first=False, **filters)  # type: ignore[arg-type]
            assert [(line.version, (line.data or {}).get("part")) for line in lines] == [
                (version, part) for version in range(1, number + 1) for part in range(LINES)
            ]
        assert after.due(float(number)) == ["m"]
        assert after.due(number - 0.5) == []
        before = number
        after.close()
