"""Every benchmark works in a world so small that it takes seconds; the pages show what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import registry, results
from benchmarks.bench import Bench, BenchError, Figure, quantile, started, until
from benchmarks.load import Order, generator
from benchmarks.procfs import command, pss, rss
from benchmarks.table import BENCHMARKS, ELSEWHERE, ROWS, Told, markdown, text
from evaluation.bounded import tree
from gateway.processes import started as started_at

TINY = 0.005
QUICK = ("history", "winners")
"""Without servers, which take seconds to start."""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name, value in registry.STARTED.items():
        monkeypatch.setenv(name, value)
    yield Bench(tmp_path, rounds=1, size=TINY)
    # A supervisor gives up its lock, and with that has ended for whoever stopped it, just before it is gone.
    until(lambda: not _left(tmp_path), "the end of every process of it", patience=20)


def _left(folder: Path) -> list[str]:
    """Processes that name the folder."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [line for pid in pids if str(folder) in (line := command(pid)) and started_at(pid)]


def _measures(name: str, bench: Bench) -> None:
    found = BENCHMARKS[name](bench)
    assert set(found) == {row.key for row in ROWS if row.benchmark == name}
    # What is measured beyond a whole micro-batch may take less than one.
    less = {row.key for row in ROWS if "beyond" in row.what and row.unit == " s"}
    assert all(figure.told and (figure.value >= 0 or key in less) for key, figure in found.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_measures_every_row_of_its_own(name: str, bench: Bench) -> None:
    _measures(name, bench)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(BENCHMARKS.keys() - set(QUICK)))
def test_a_benchmark_with_a_server_measures_every_row_of_its_own(name: str, bench: Bench) -> None:
    _measures(name, bench)


def test_every_row_belongs_to_a_benchmark_and_every_benchmark_has_rows() -> None:
    assert {row.benchmark for row in ROWS} == {*BENCHMARKS, *ELSEWHERE}
    assert len({row.key for row in ROWS}) == len(ROWS)
    assert all((row.most is None) != (row.least is None) for row in ROWS)


def test_a_goal_is_met_at_its_bound_and_missed_beyond_it() -> None:
    most = next(row for row in ROWS if row.key == "wake_up")
    least = next(row for row in ROWS if row.key == "serving_rate")
    assert [most.is_met(value) for value in (0.049, 0.05, 0.051)] == [True, True, False]
    assert [least.is_met(value) for value in (1.59, 1.6, 1.7)] == [False, True, True]


def test_a_missed_goal_is_shown_as_missed() -> None:
    row = next(row for row in ROWS if row.key == "wake_up")
    lines = [Told(row, Figure(0.2, "1 s against 5 s"))]
    for shown in (text(lines), markdown(lines)):
        assert [word in shown for word in ("0.200×", "≤ 0.050×", " no ", "1 s against 5 s")] == [True] * 4


def test_the_figures_that_were_kept_are_of_the_table_and_a_benchmark_is_kept_whole() -> None:
    found = results.kept()
    if found is not None:
        assert found.figures.keys() <= {row.key for row in ROWS}
        measured = {row.benchmark for row in ROWS if row.key in found.figures}
        assert found.figures.keys() >= {row.key for row in ROWS if row.benchmark in measured}
        assert min(found.rounds.values()) >= 5
        assert found.machines.keys() == found.days.keys() == found.figures.keys()


def test_what_was_not_measured_yet_is_named() -> None:
    kept = results.Results()
    kept.add({row.key: Figure(1.0, "so") for row in ROWS if row.benchmark != "swaps"}, 5, "a machine")
    assert "Not measured yet: swaps.\n" in results.section(kept)
    kept.add({row.key: Figure(1.0, "so") for row in ROWS}, 5, "a machine")
    assert "Not measured yet" not in results.section(kept)


@pytest.mark.parametrize("page", results.PAGES, ids=lambda page: page.name)
def test_a_page_shows_the_figures_that_were_kept_or_that_there_are_none(page: Path) -> None:
    shown = page.read_text(encoding="utf-8")
    assert shown == results.shown(shown, results.kept()), "python -m benchmarks --write"


def test_figures_and_their_absence_are_written_in_place_of_each_other() -> None:
    page = f"# Speed\n\n{results.section(None)}\n\nThe rest.\n"
    assert results.NOT_YET in page
    kept = results.Results()
    kept.add({"history": Figure(1.5, "of 1,000,000 lines")}, 5, "a machine")
    filled = results.shown(page, kept)
    assert results.NOT_YET not in filled
    assert all(text in filled for text in ("1.50 ms", "a machine", "The rest."))
    assert results.shown(filled, None) == page


def test_figures_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    kept = results.Results()
    kept.add({"history": Figure(1.5, "1.5 ms", (1.0, 1.5, 2.0))}, 3, "a machine")
    kept.write(tmp_path / "results.json")
    assert results.read(tmp_path / "results.json") == kept


def test_figures_of_another_machine_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    kept = results.Results()
    kept.add({row.key: Figure(1.5, "so") for row in ROWS}, 5, "a machine")
    kept.write(path)
    found = results.merged(path)
    found.add({"history": Figure(1.0, "now")}, 5, "another one")
    shown = results.section(found)
    assert ". a machine; " in shown
    assert "\nhistory: another one; " in shown


def test_a_page_without_a_place_for_figures_is_named_as_a_mistake() -> None:
    with pytest.raises(BenchError, match="end of measured"):
        results.shown("# Nothing here", results.Results())


def test_a_seeded_registry_is_one_that_mlflow_reads(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    path = registry.seeded(Bench(tmp_path), models=3, versions=2)
    client = MlflowClient(tracking_uri=f"sqlite:///{path}", registry_uri=f"sqlite:///{path}")
    found = client.search_registered_models(order_by=["last_updated_timestamp DESC"])
    assert [model.name for model in found] == registry.names(3)
    assert [dict(model.aliases) for model in found] == [{"champion": 2}] * 3
    version = client.get_model_version("bench.m00001", "2")
    assert client.get_run(str(version.run_id)).data.metrics == {"auc": 0.8}


def test_the_load_counts_what_is_not_answered(tmp_path: Path) -> None:
    """One that closes each connection after the request it was sent."""
    code = (
        "import socket\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    open('port', 'w').write(str(server.getsockname()[1]))\n"
        "    while True:\n"
        "        client, _ = server.accept()\n"
        "        client.recv(65536)\n"
        "        client.close()\n"
    )
    with started(["-c", code], tmp_path / "log"), generator(tmp_path / "load") as load:
        port = _port(tmp_path / "port")
        told = load.run(Order("{}", port=port, connections=2, requests=5, warm=0))
    assert (dict(told.statuses), told.failed) == ({0: 5}, 5)


def _port(path: Path) -> int:
    until(lambda: path.exists() and path.read_text(), "a port")
    return int(path.read_text())


def test_what_was_started_ends_with_its_block(tmp_path: Path) -> None:
    children = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    with started(["-c", f"{children}; open('up', 'w').close(); time.sleep(600)"], tmp_path / "log") as process:
        until((tmp_path / "up").exists, "a child")
        family = tree(process.pid)
        assert len(family) == 2
        assert rss(process.pid) > 1
        assert 0 < pss(family) < 100
    assert [pid for pid in family if started_at(pid) is not None] == []


def test_a_quantile_is_one_of_the_values() -> None:
    assert [quantile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 2.0, 3.0, 3.0]


def test_the_command_measures_writes_and_says_whether_goals_are_met(tmp_path: Path) -> None:
    """On the smallest benchmark there is, with its world made small."""
    code = (
        "import sys; from benchmarks import __main__, history; history.LINES = 20_000;"
        " sys.argv[1:] = ['--only', 'history', '--rounds', '1', '--json', 'out.json']; sys.exit(__main__.main())"
    )
    root = str(results.ROOT)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert "what was live at a moment" in done.stdout
    assert set(json.loads((tmp_path / "out.json").read_text())["figures"]) == {"history"}
