"""The ledger on one SQLite file keeps the contract, between processes and across kills as well."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.ledger_suite import (
    LedgerSuite,
    assert_a_forked_child_does_no_harm,
    assert_each_revision_is_won_once,
    race,
)
from watcher.ledger.sqlite import SqliteLedger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    opened = SqliteLedger(tmp_path / "ledger.db")
    yield opened
    opened.close()


class TestSqliteLedger(LedgerSuite):
    pass


def test_one_of_two_racing_processes_wins_each_revision(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    assert_each_revision_is_won_once(SqliteLedger, (path,), 200, SqliteLedger(path))


def test_several_handles_of_one_process_share_the_file(tmp_path: Path) -> None:
    handles = [SqliteLedger(tmp_path / "ledger.db") for _ in range(3)]
    won = race([*handles], wins=30)
    stored = handles[0].load("race")
    assert stored is not None
    assert stored.body == {"number": 90}
    assert len(set(won)) == 90


def test_a_child_that_was_forked_uses_the_file_without_harm_to_the_parent(ledger: SqliteLedger) -> None:
    assert_a_forked_child_does_no_harm(ledger)


WRITER = """
import sys
from pathlib import Path
from watcher.ledger.sqlite import SqliteLedger
from watcher.ports import Line
ledger = SqliteLedger(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    stored = ledger.load("m")
    number = stored.body["number"] + 1 if stored else 1
    lines = [Line(float(number), "m", "seen", version=number, data={"fill": "x" * 3000}) for part in range(8)]
    ledger.save("m", {"number": number, "fill": "x" * 9000}, stored.revision if stored else None, lines)
    print(number, flush=True)
"""


def test_a_kill_while_writing_leaves_a_record_with_all_its_lines_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    numbers = [0]
    chance = random.Random(7)
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            for _ in range(chance.randint(1, 5)):
                writer.stdout.readline()
            time.sleep(chance.random() * 0.01)
            writer.send_signal(signal.SIGKILL)
            acknowledged = [int(line) for line in writer.stdout.read().split()]
        after = SqliteLedger(path)
        stored = after.load("m")
        assert stored is not None
        number = stored.body["number"]
        assert number > numbers[-1]
        assert number >= max(acknowledged, default=0)
        lines = after.history(most=100_000, newest_first=False)
        assert [line.version for line in lines] == [version for version in range(1, number + 1) for _ in range(8)]
        assert after.notes == ()
        numbers.append(number)
        after.close()
