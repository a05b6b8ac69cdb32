"""A damaged ledger is kept, read as far as it goes, replaced, and said loudly."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from watcher.errors import Conflict, Terminal, Transient
from watcher.ledger import open_ledger
from watcher.ledger.sqlite import SqliteLedger
from watcher.ports import Line

LINES = 3000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with one record and a history over many pages, with nothing left in the log."""
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    ledger.save("churn", {"n": 1}, None, [whole(n) for n in range(LINES)], due=1.0)
    ledger.close()
    return path


def whole(n: int) -> Line:
    return Line(float(n), "churn", "seen", "api", n, "reason " * 10, {"n": n})


def spoil(path: Path, at: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * length)


def history_pages(path: Path) -> list[int]:
    """Offsets of the pages that hold the history's rows."""
    with closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        try:
            rows = connection.execute(
                "SELECT pageno FROM dbstat WHERE name = 'history' AND pagetype = 'leaf' ORDER BY pageno"
            ).fetchall()
            return [(number - 1) * size for (number,) in rows]
        except sqlite3.OperationalError:
            # Without that table: the pages that say of themselves that they are leaves of a table.
            content = path.read_bytes()
            return [at for at in range(size, len(content), size) if content[at] == 0x0D]


def rebuilt(ledger: SqliteLedger) -> Line:
    (line,) = ledger.history(event="ledger_rebuilt")
    return line


def test_a_page_in_the_middle_costs_its_own_lines_only(path: Path) -> None:
    pages = history_pages(path)
    spoil(path, pages[len(pages) // 2], 4096)
    ledger = SqliteLedger(path)
    with pytest.raises(Transient, match="was damaged"):
        ledger.history(most=LINES)
    lines = ledger.history(model="churn", most=LINES, newest_first=False)
    assert LINES - 120 < len(lines) < LINES
    assert lines == [whole(int(line.at)) for line in lines]
    assert [line.version for line in lines] == sorted({line.version or 0 for line in lines})
    assert lines[0].version == 0
    assert lines[-1].version == LINES - 1


def test_the_damage_is_noted_and_written_into_the_new_history(path: Path) -> None:
    pages = history_pages(path)
    spoil(path, pages[3], 4096)
    ledger = SqliteLedger(path, clock=lambda: 77.0)
    with pytest.raises(Transient) as caught:
        ledger.history(most=LINES)
    (note,) = ledger.notes
    assert note == str(caught.value)
    assert "ledger.db.damaged-1" in note
    rescued = len(ledger.history(model="churn", most=LINES))
    assert f"{rescued} history lines" in note
    assert rebuilt(ledger) == Line(
        77.0, "#ledger", "ledger_rebuilt", reason="damaged", data={"kept": "ledger.db.damaged-1", "rescued": rescued}
    )


def test_records_start_anew_and_an_old_revision_no_longer_counts(path: Path) -> None:
    ledger = SqliteLedger(path)
    stored = ledger.load("churn")
    assert stored is not None
    ledger.close()
    spoil(path, history_pages(path)[3], 4096)
    with pytest.raises(Transient):
        ledger.history(most=LINES)
    assert ledger.load("churn") is None
    with pytest.raises(Conflict):
        ledger.save("churn", {}, stored.revision)


@pytest.mark.parametrize("length", [16, 100, 4096])
def test_a_file_without_its_first_page_is_kept_as_it_was_and_its_history_is_read(path: Path, length: int) -> None:
    spoil(path, 0, length)
    damaged = path.read_bytes()
    ledger = SqliteLedger(path)
    assert len(ledger.notes) == 1
    assert path.with_name("ledger.db.damaged-1").read_bytes() == damaged
    assert ledger.load("churn") is None
    assert ledger.history(model="churn", most=LINES, newest_first=False) == [whole(n) for n in range(LINES)]


def test_a_file_that_is_no_database_at_all_is_kept_and_a_new_ledger_opens(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database, by far " * 1000)
    ledger = SqliteLedger(path)
    ledger.save("churn", {}, None, [whole(1)])
    assert rebuilt(ledger).data == {"kept": "ledger.db.damaged-1", "rescued": 0}
    assert path.with_name("ledger.db.damaged-1").read_bytes() == b"not a database, by far " * 1000
    assert sorted(file.name for file in tmp_path.glob("*damaged*")) == ["ledger.db.damaged-1"]


def test_a_file_cut_short_gives_what_was_before_the_cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 // 4096 * 4096])
    ledger = SqliteLedger(path)
    assert len(ledger.notes) == 1
    lines = ledger.history(model="churn", most=LINES)
    assert LINES // 4 < len(lines) < LINES
    assert list(lines) == [whole(int(line.at)) for line in lines]


def test_a_second_damage_does_not_overwrite_what_was_kept_of_the_first(path: Path) -> None:
    for number in (1, 2):
        spoil(path, 0, 100)
        ledger = SqliteLedger(path)
        ledger.close()
        assert path.with_name(f"ledger.db.damaged-{number}").exists()


def test_another_handle_goes_over_to_the_new_file(path: Path) -> None:
    first, second = SqliteLedger(path), SqliteLedger(path)
    spoil(path, history_pages(path)[3], 4096)
    with pytest.raises(Transient):
        first.history(most=LINES)
    revision = first.save("new", {"n": 1}, None)
    stored = second.load("new")
    assert stored is not None
    assert stored.revision == revision
    assert not path.with_name("ledger.db.damaged-2").exists()


def test_a_deleted_file_is_a_new_ledger_and_not_a_lost_write(path: Path) -> None:
    ledger = SqliteLedger(path)
    assert ledger.load("churn") is not None
    for file in path.parent.glob("ledger.db*"):
        file.unlink()
    assert ledger.load("churn") is None
    ledger.save("churn", {"n": 1}, None)
    assert SqliteLedger(path).load("churn") is not None


def test_the_history_refuses_to_be_rewritten_by_other_means(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("DELETE FROM history", "UPDATE history SET reason = 'nicer'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE runs (id TEXT)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(Terminal, match=r"mlflow\.db.*another program"):
        open_ledger("sqlite:///mlflow.db", tmp_path)
    assert path.read_bytes() == before


def test_a_newer_format_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(Terminal, match="format 99"):
        SqliteLedger(path)


def _work_on(path: Path, name: str, answers: multiprocessing.SimpleQueue[int]) -> None:
    ledger: SqliteLedger | None = None
    for _ in range(20):
        try:
            ledger = ledger or SqliteLedger(path)
            stored = ledger.load(name)
            ledger.history(model="churn", most=LINES)
            ledger.save(name, {}, stored.revision if stored else None)
        except (Transient, Conflict):
            continue
    answers.put(len(ledger.notes) if ledger else 0)


def test_of_several_processes_that_meet_the_damage_one_replaces_the_file(path: Path) -> None:
    pages = history_pages(path)
    spoil(path, pages[len(pages) // 2], 4096)
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.SimpleQueue()
    workers = [spawn.Process(target=_work_on, args=(path, f"m{number}", answers)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sum(answers.get() for _ in workers) == 1
    ledger = SqliteLedger(path)
    assert LINES - 120 < len(ledger.history(model="churn", most=LINES)) < LINES
    assert isinstance(rebuilt(ledger), Line)
    assert all(ledger.load(f"m{number}") is not None for number in range(3))
    assert not path.with_name("ledger.db.damaged-2").exists()
