"""What a full disk, a locked, unwritable or missing file means: try again, or never."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from watcher.errors import Terminal, Transient, UserError
from watcher.ledger import open_ledger
from watcher.ledger.sqlite import SqliteLedger
from watcher.ledger.trouble import is_busy, translate
from watcher.ports import Line

fork = multiprocessing.get_context("fork")


def test_a_relative_address_starts_at_the_settings_folder(tmp_path: Path) -> None:
    ledger = open_ledger("sqlite:///state/watcher/ledger.db", tmp_path)
    ledger.save("m", {}, None)
    assert (tmp_path / "state" / "watcher" / "ledger.db").exists()


def test_an_absolute_address_does_not(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:////{tmp_path}/elsewhere/ledger.db", Path("/nowhere"))
    ledger.save("m", {}, None)
    assert (tmp_path / "elsewhere" / "ledger.db").exists()


@pytest.mark.parametrize(
    "url", ["", "ledger.db", "sqlite://", "sqlite:///", "sqlite:///state/", "postgresql://u:secret@h/db"]
)
def test_another_address_is_a_mistake_that_names_the_remedy_and_no_secret(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sqlite:///FILE") as caught:
        open_ledger(url, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_locked_file_is_transient_and_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, patience=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Transient, match=r"ledger\.db: another process keeps it locked") as caught:
            ledger.save("m", {}, None)
        assert caught.value.retry_after
        assert ledger.load("m") is None
    ledger.save("m", {}, None)


def test_a_folder_in_place_of_the_file_is_terminal(tmp_path: Path) -> None:
    with pytest.raises(Terminal, match="cannot be opened"):
        SqliteLedger(tmp_path)


def test_a_file_in_place_of_the_folder_is_terminal(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(Terminal, match="its folder cannot be made"):
        open_ledger("sqlite:///state/ledger.db", tmp_path)


def test_a_number_too_large_for_the_table_is_terminal(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    with pytest.raises(Terminal, match="too large"):
        ledger.save("m", {}, None, [Line(1.0, "m", "seen", version=2**80)])
    assert ledger.load("m") is None


def _as_nobody(path: Path, answers: multiprocessing.SimpleQueue[tuple[str, str]]) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)
    try:
        SqliteLedger(path).save("m", {}, None)
    except (Terminal, Transient) as error:
        answers.put((type(error).__name__, str(error)))
    else:
        answers.put(("", "no error"))


def test_a_file_that_may_not_be_written_is_terminal() -> None:
    """In a folder of its own: the user who may not write must still be able to reach it."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        ledger = SqliteLedger(folder / "ledger.db")
        ledger.save("m", {}, None)
        ledger.close()
        (folder / "ledger.db").chmod(0o444)
        folder.chmod(0o555)
        answers = fork.SimpleQueue()
        process = fork.Process(target=_as_nobody, args=(folder / "ledger.db", answers))
        process.start()
        name, message = answers.get()
        process.join()
        folder.chmod(0o755)
    assert name == "Terminal"
    assert "ledger.db: it cannot be" in message


def _on_a_full_disk(path: Path, answers: multiprocessing.SimpleQueue[tuple[str, str, bool]]) -> None:
    ledger = SqliteLedger(path)
    revision = ledger.save("m", {"n": 1}, None)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        ledger.save("m", {"n": 2, "fill": "x" * 1_000_000}, revision, [Line(1.0, "m", "seen")])
    except (Terminal, Transient) as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        stored = ledger.load("m")
        unharmed = stored is not None and stored.body == {"n": 1} and ledger.history() == []
        ledger.save("m", {"n": 2}, revision)
        answers.put((type(error).__name__, str(error), unharmed))
    else:
        answers.put(("", "no error", False))


def test_a_disk_that_takes_no_more_is_transient_and_leaves_the_old_record(tmp_path: Path) -> None:
    answers = fork.SimpleQueue()
    process = fork.Process(target=_on_a_full_disk, args=(tmp_path / "ledger.db", answers))
    process.start()
    name, message, unharmed = answers.get()
    process.join()
    assert name == "Transient"
    assert "ledger.db: the disk" in message
    assert unharmed


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SQLITE_FULL", Transient("the disk is full; free some space", 5.0)),
        ("SQLITE_BUSY_SNAPSHOT", Transient("another process keeps it locked", 1.0)),
        ("SQLITE_LOCKED", Transient("another connection keeps it locked", 1.0)),
        (
            "SQLITE_IOERR_FSYNC",
            Transient("the disk could not be read or written; look at its free space and health", 5.0),
        ),
        ("SQLITE_NOMEM", Transient("the machine is out of memory", 60.0)),
        (
            "SQLITE_READONLY_DIRECTORY",
            Terminal("it cannot be written; let the watcher's user write to the file and its folder"),
        ),
        (
            "SQLITE_CANTOPEN_ISDIR",
            Terminal("it cannot be opened; the folder must exist and the watcher's user may write there"),
        ),
        ("SQLITE_CONSTRAINT", Terminal("the database refused the call")),
    ],
)
def test_an_error_is_translated_by_its_code(name: str, expected: Terminal | Transient) -> None:
    error = sqlite3.OperationalError("text that says nothing")
    error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, name), name
    told = translate(error, Path("ledger.db"))
    assert type(told) is type(expected)
    assert str(told) == f"ledger ledger.db: {expected} ({name})"
    assert getattr(told, "retry_after", None) == getattr(expected, "retry_after", None)
    assert is_busy(error) == ("keeps it locked" in str(expected))


def test_an_error_of_the_module_itself_has_its_type_in_place_of_a_code() -> None:
    told = translate(sqlite3.ProgrammingError("closed"), Path("ledger.db"))
    assert type(told) is Terminal
    assert str(told) == "ledger ledger.db: the database refused the call (ProgrammingError)"


@pytest.mark.long
def test_what_was_live_is_found_in_a_million_lines_within_50_ms(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    events = ("seen", "verdict", "intent", "done", "live", "told")
    lines = [
        Line(float(n), f"model-{n % 1000}", events[n // 1000 % 6], f"t{n % 7}", n % 50, "so", {"weights": {"1": 100}})
        for n in range(1_000_000)
    ]
    ledger.save("m", {}, None, lines)
    questions: list[dict[str, object]] = [
        {"model": "model-5", "until": 500_000.0, "event": "live", "most": 50},
        {"model": "model-5", "until": 500_000.0, "event": "live", "target": "t5", "most": 1},
        {"model": "model-5", "until": 500_000.0, "event": "crowned", "most": 1},
        {"model": "model-5", "until": 500_000.0, "target": "t5", "most": 100},
        {"model": "model-5", "since": 400_000.0, "until": 600_000.0},
        {"event": "crowned", "most": 100},
        {"until": 500_000.0, "most": 1000},
    ]
    slowest = 0.0
    for question in questions:
        best = min(_seconds(ledger, question) for _ in range(3))
        slowest = max(slowest, best)
    assert slowest < 0.05


def _seconds(ledger: SqliteLedger, question: dict[str, object]) -> float:
    began = time.perf_counter()
    ledger.history(**question)  # type: ignore[arg-type]
    return time.perf_counter() - began
