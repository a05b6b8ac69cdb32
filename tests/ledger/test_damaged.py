"""A damaged ledger is kept, read as far as it goes, replaced, and said loudly."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from watcher.errors import Conflict, Terminal, Transient
from watcher.ledger import open_ledger, salvage
from watcher.ledger.json_text import to_object
from watcher.ledger.sqlite import _COLUMNS, _TABLES, SqliteLedger, is_line
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


@pytest.mark.parametrize("at_once", [salvage.AT_ONCE, 100])
def test_a_page_in_the_middle_costs_its_own_lines_only(
    path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(salvage, "AT_ONCE", at_once)
    pages = history_pages(path)
    spoil(path, pages[len(pages) // 2], 4096)
    ledger = SqliteLedger(path)
    with pytest.raises(Transient, match="was damaged"):
        ledger.history(most=LINES)
    lines = ledger.history(model="churn", most=LINES, newest_first=False)
    assert LINES - 120 < len(lines) < LINES
    assert lines == [whole(int(line.at)) for line in lines]
    assert [line.version for line in lines] == sorted({line.version or 0 for line in lines})
    lost = sorted(set(range(LINES)) - {line.version for line in lines})
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert 0 < lost[0] < lost[-1] < LINES - 1


def test_what_fails_too_often_is_given_up_and_what_was_read_before_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(salvage, "AT_ONCE", 100)
    monkeypatch.setattr(salvage, "MOST_FAILURES", 5)
    pages = history_pages(path)
    spoil(path, pages[len(pages) // 2], 4096)
    ledger = SqliteLedger(path)
    with pytest.raises(Transient):
        ledger.history(most=LINES)
    lines = ledger.history(model="churn", most=LINES, newest_first=False)
    assert LINES // 3 < len(lines) < LINES * 2 // 3
    assert lines == [whole(n) for n in range(len(lines))]


def test_the_copy_that_is_read_lies_beside_the_file_where_there_is_room_for_it_and_is_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(path.parent / "missing"))
    pages = history_pages(path)
    spoil(path, pages[len(pages) // 2], 4096)
    ledger = SqliteLedger(path)
    with pytest.raises(Transient, match="was damaged"):
        ledger.history(most=LINES)
    assert len(ledger.history(model="churn", most=LINES)) > LINES - 120
    assert not any(found.is_dir() for found in path.parent.iterdir())


def test_the_damage_is_noted_and_written_into_the_new_history(path: Path) -> None:
    pages = history_pages(path)
    spoil(path, pages[3], 4096)
    ledger = SqliteLedger(path, clock=lambda: 77.0)
    with pytest.raises(Transient) as caught:
        ledger.history(most=LINES)
    (note,) = ledger.notes
    rescued = len(ledger.history(model="churn", most=LINES))
    assert note == str(caught.value)
    assert note == (
        f"ledger {path}: the file was damaged. It was kept as ledger.db.damaged-1, {rescued} history lines were read"
        " from it into a new file, and the records start anew."
    )
    assert caught.value.retry_after == 0.0
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


def test_a_damaged_file_without_any_history_is_replaced_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SqliteLedger(path).close()
    spoil(path, 0, 100)
    assert rebuilt(SqliteLedger(path)).data == {"kept": "ledger.db.damaged-1", "rescued": 0}


def test_text_that_is_no_text_elsewhere_is_read_from_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    lines = [Line(1.0, "\ud800 alone", "seen"), whole(2)]
    ledger.save("m", {}, None, lines)
    ledger.close()
    spoil(path, 0, 100)
    assert SqliteLedger(path).history(until=2.0, newest_first=False) == lines


def test_lines_that_only_the_log_holds_are_read_too(tmp_path: Path) -> None:
    path, kept = tmp_path / "ledger.db", tmp_path / "kept.db"
    ledger = SqliteLedger(path)
    ledger.save("churn", {}, None, [whole(n) for n in range(5)])
    for tail in ("", "-wal"):
        shutil.copyfile(f"{path}{tail}", f"{kept}{tail}")
    rows = [row for rows in salvage.history(kept, _COLUMNS, _TABLES) for row in rows]
    assert [row[4] for row in rows] == list(range(5))


def test_a_file_is_moved_with_its_log_and_without_what_sqlite_makes_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for tail in ("", "-wal", "-shm"):
        Path(f"{path}{tail}").write_text(tail)
    kept = salvage.move_aside(path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {kept.name: "", f"{kept.name}-wal": "-wal"}


def test_only_a_file_that_is_there_and_not_whole_is_a_damaged_one(path: Path) -> None:
    assert not salvage.damaged(path.with_name("missing.db"))
    assert not salvage.damaged(path)
    spoil(path, history_pages(path)[3], 4096)
    assert salvage.damaged(path)


def test_who_comes_too_late_to_the_damage_leaves_the_new_file_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_one = salvage.only_one

    @contextmanager
    def overtaken(place: Path) -> Iterator[None]:
        monkeypatch.setattr(salvage, "only_one", only_one)
        with pytest.raises(Transient):
            SqliteLedger(path).history(most=LINES)
        with only_one(place):
            yield

    ledger = SqliteLedger(path)
    spoil(path, history_pages(path)[3], 4096)
    monkeypatch.setattr(salvage, "only_one", overtaken)
    with pytest.raises(Transient) as caught:
        ledger.history(most=LINES)
    assert str(caught.value) == f"ledger {path}: it was damaged and has just been replaced"
    assert (caught.value.retry_after, ledger.notes) == (0.0, ())
    assert not path.with_name("ledger.db.damaged-2").exists()


def test_a_file_that_cannot_be_moved_aside_stays_and_is_tried_again_in_a_minute(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> Path:
        raise OSError("not permitted")

    ledger = SqliteLedger(path)
    spoil(path, history_pages(path)[3], 4096)
    damaged = path.read_bytes()
    monkeypatch.setattr(salvage, "move_aside", refuse)
    with pytest.raises(Transient) as caught:
        ledger.history(most=LINES)
    assert str(caught.value) == f"ledger {path}: it is damaged and could not be moved aside (not permitted)"
    assert (caught.value.retry_after, path.read_bytes()) == (60.0, damaged)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((1.0, "m", "seen", None, None, "", None), True),
        ((1.0, "m", "seen", "api", 3, "so", "{}"), True),
        (("1", "m", "seen", None, None, "", None), False),
        ((1.0, None, "seen", None, None, "", None), False),
        ((1.0, "m", "seen", 5, None, "", None), False),
        ((1.0, "m", "seen", None, "3", "", None), False),
        ((1.0, "m", "seen", None, None, "", b"{}"), False),
    ],
)
def test_only_a_whole_line_is_carried_over(row: tuple[object, ...], expected: bool) -> None:
    assert is_line(row) is expected


def test_what_somebody_wrote_into_the_history_is_shown_as_far_as_it_can_be(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO history (at, model, event, reason, data) VALUES (1e9, CAST(x'ff41' AS TEXT), 'seen', '', '[')"
        )
        connection.commit()
    (line,) = SqliteLedger(path).history(most=1)
    assert line == Line(1e9, "\ufffdA", "seen", data={"unreadable": True})


@pytest.mark.parametrize("text", ["{", "", "null", "[1]", "[" * 100_000])
def test_text_that_holds_no_object_stands_for_another_or_an_empty_one(text: str) -> None:
    assert to_object(text) == {}
    assert to_object(text, {"n": 1}) == {"n": 1}


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
