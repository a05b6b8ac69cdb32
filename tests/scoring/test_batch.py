"""A batch run is one folder, there only once it is whole, with a manifest of what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from scoring import __main__ as scoring
from scoring import documents, runs
from scoring.delta import batch
from scoring.delta.batch import Options, run
from scoring.errors import INPUT, USAGE, VERSION, Stop
from scoring.files import file_system
from tests.azurite import Azurite
from tests.scoring import world
from tests.scoring.processes import ROOT
from tests.scoring.stores import in_store
from tests.scoring.world import ROWS, Tables

pytestmark = pytest.mark.slow


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    made = Tables.made(tmp_path)
    made.point(2)
    return made


def options(tables: Tables, **more: Any) -> Options:
    return Options(tables.pointer, tables.input, str(tables.folder / "runs"), **more)


def folders(tables: Tables) -> list[str]:
    return sorted(path.name for path in (tables.folder / "runs").iterdir())


def test_a_run_is_a_folder_with_every_row_scored_and_a_manifest(tables: Tables) -> None:
    tables.grow(5)
    made, fresh = run(options(tables, run="monday"))
    assert fresh
    assert (made.run, made.model, made.version, made.key) == ("monday", "churn", 2, "2-abc")
    assert (made.input_version, made.rows) == (1, ROWS + 5)
    assert made.schema == {
        "id": "int64",
        "a": "double",
        "b": "double",
        "prediction": "double",
        "model_name": "string",
        "model_version": "int64",
        "scored_at": "timestamp[us, tz=UTC]",
    }
    rows = tables.run("monday")
    assert list(rows["id"]) == list(range(ROWS + 5))
    assert list(rows["prediction"]) == list(2 * (rows["a"] + rows["b"]))
    assert folders(tables) == ["run=monday"]


def test_repeating_a_run_changes_nothing(tables: Tables) -> None:
    first, _ = run(options(tables, run="monday"))
    tables.point(1)
    tables.grow(5)
    again, fresh = run(options(tables, run="monday"))
    assert (again, fresh) == (first, False)
    assert set(tables.run("monday")["model_version"]) == {2}


def test_without_a_name_the_same_rows_with_the_same_version_are_scored_once(tables: Tables) -> None:
    first, _ = run(options(tables))
    assert run(options(tables)) == (first, False)
    tables.grow(1)
    assert run(options(tables))[1]
    assert run(options(tables, where="id < 3"))[1]
    assert len(folders(tables)) == 3


def test_the_input_is_read_as_it_was(tables: Tables) -> None:
    tables.grow(5)
    tables.grow(7)
    assert [run(options(tables, run=f"v{n}", version=n))[0].rows for n in range(3)] == [ROWS, ROWS + 5, ROWS + 12]
    assert run(options(tables, run="range", since=1, version=1))[0].rows == 5
    assert list(tables.run("range")["id"]) == list(range(ROWS, ROWS + 5))
    assert run(options(tables, run="now", at="2100-01-01"))[0].rows == ROWS + 12
    made = [run(options(tables, run=f"since-{n}", since=tables.came(n)))[0] for n in range(3)]
    assert [(one.since, one.rows) for one in made] == [(0, ROWS + 12), (1, 12), (2, 7)]
    made = [
        run(options(tables, run="day", since=tables.came(1), version=1))[0],
        run(options(tables, since="2100-01-01"))[0],
    ]
    assert [(one.since, one.rows) for one in made] == [(1, 5), (3, 0)]


def test_rows_and_columns_are_chosen_and_folders_partitioned(tables: Tables) -> None:
    made, _ = run(options(tables, run="some", where="id >= 18", columns=("id", "b"), partition_by=("b",)))
    assert made.rows == 2
    assert list(made.schema)[:3] == ["id", "b", "prediction"]
    assert {name.partition("/")[0] for name in made.files} == {"b=9", "b=9.5"}
    assert list(tables.run("some")["prediction"]) == [2 * 27.0, 2 * 28.5]


def test_columns_of_texts_go_along_as_types_that_everybody_reads(tables: Tables) -> None:
    other = Tables(tables.folder / "typed")
    other.folder.mkdir()
    more = {"words": [["a", "b"]], "said": [{"by": "me"}], "word": ["c"]}
    other.grow(1, **more)
    other.point(2)
    made, _ = run(options(other, run="typed"))
    assert {name: made.schema[name] for name in ("word", "said")} == {"word": "string", "said": "struct<by: string>"}
    found = other.run("typed")
    assert [list(found["words"][0]), found["said"][0], found["word"][0]] == [["a", "b"], {"by": "me"}, "c"]


def test_a_table_without_rows_makes_a_folder_without_rows(tables: Tables) -> None:
    made, _ = run(options(tables, run="none", where="id < 0"))
    assert (made.rows, list(made.schema)[-1]) == (0, "scored_at")
    assert json.loads((tables.folder / "runs" / "run=none" / runs.MANIFEST).read_text())["rows"] == 0


LATE = "if model_input['a'].max() > 9: raise ValueError('late')\nreturn model_input['a']"
DEADLY = LATE.replace("raise ValueError('late')", "import os; os.kill(os.getpid(), 9)")


def test_a_run_that_fails_leaves_nothing(tables: Tables) -> None:
    tables.point(3, model=world.python_model("late", LATE))
    with pytest.raises(Stop, match="ValueError: late") as stopped:
        run(options(tables, run="bad", most=4))
    assert stopped.value.kind == VERSION
    assert folders(tables) == []
    assert tables.status["error"]["release"] == "churn-v3"


def test_a_run_that_is_killed_leaves_nothing_that_looks_done_and_the_next_one_sweeps(tables: Tables) -> None:
    tables.point(3, model=world.python_model("deadly", DEADLY))
    words = [sys.executable, "-m", "scoring", "batch", "--pointer", tables.pointer, "--input", tables.input]
    words += ["--output", str(tables.folder / "runs"), "--run", "monday", "--rows", "4"]
    died = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True)
    assert died.returncode < 0
    assert [name for name in folders(tables) if not name.startswith(runs.UNDER_WAY)] == []
    assert runs.done(str(tables.folder / "runs"), "monday") is None
    tables.point(1)
    run(options(tables, run="monday"))
    assert folders(tables) == ["run=monday"]
    assert len(tables.run("monday")) == ROWS


def test_the_report_names_the_folders_of_each_version(tables: Tables) -> None:
    run(options(tables, run="one"))
    run(options(tables, run="two"))
    tables.point(1)
    run(options(tables, run="three"))
    wrote = tables.status["wrote"]
    assert wrote["churn-v2"]["folders"] == ["run=one", "run=two"]
    assert (wrote["churn-v2"]["rows"], wrote["churn-v1"]["rows"]) == (2 * ROWS, ROWS)


@pytest.mark.parametrize(
    ("asked", "kind", "words"),
    [
        ({"run": "../x"}, USAGE, "run id"),
        ({"run": "a/b"}, USAGE, "run id"),
        ({"where": "nowhere > 1"}, USAGE, "cannot be scanned"),
        ({"columns": ("nowhere",)}, USAGE, "'nowhere'"),
        ({"columns": ("id",), "partition_by": ("a",)}, USAGE, "go along"),
        ({"version": 99}, INPUT, "at version 99"),
        ({"at": "yesterday"}, USAGE, "'yesterday'"),
        ({"since": 0, "where": "id > 1"}, USAGE, "--where"),
        ({"since": "yesterday"}, USAGE, "'yesterday'"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(tables: Tables, asked: dict[str, Any], kind: str, words: str) -> None:
    with pytest.raises(Stop, match=words) as stopped:
        run(options(tables, **asked))
    assert stopped.value.kind == kind
    assert "\n" not in str(stopped.value)
    assert not (tables.folder / "runs").exists() or folders(tables) == []


@pytest.mark.parametrize(
    ("lacking", "said"), [("", "there is no column 'c'"), ("deltalake", "needs deltalake, which is not installed")]
)
def test_whoever_runs_a_job_reads_once_why_it_cannot_be(
    tables: Tables, lacking: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.point(3, model=world.linear(1.0, ("a", "c")))
    if lacking:
        monkeypatch.setitem(sys.modules, lacking, None)
    words = ["batch", "--pointer", tables.pointer, "--input", tables.input, "--output", str(tables.folder / "runs")]
    assert scoring.main(words) == scoring.STOPPED
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_an_input_that_a_version_does_not_take_is_named_by_column(tables: Tables) -> None:
    tables.point(3, model=world.linear(1.0, ("a", "c")))
    with pytest.raises(Stop, match="v3 does not fit the input: there is no column 'c'"):
        run(options(tables))


def test_memory_does_not_grow_with_the_rows(tables: Tables) -> None:
    """What is held at a time is what is scored at a time."""
    held: list[int] = []
    body = "global most\nreturn model_input['a']"
    tables.point(1, model=world.python_model("plain", body))

    def noted(rows: Any, most: int) -> Any:
        for some in _pieces(rows, most):
            held.append(sum(batch.num_rows for batch in some))
            yield some

    _pieces = batch._pieces  # noqa: SLF001 what is scored at a time is seen nowhere else
    batch._pieces = noted  # noqa: SLF001
    try:
        tables.grow(1_000)
        run(options(tables, most=64))
    finally:
        batch._pieces = _pieces  # noqa: SLF001
    assert sum(held) == ROWS + 1_000
    assert max(held) <= 64


@pytest.mark.parametrize("by", [(), ("side",)])
def test_rows_that_are_scored_apart_are_written_together(tmp_path: Path, by: tuple[str, ...]) -> None:
    tables = Tables(tmp_path)
    tables.grow(ROWS, side=ROWS // 2 * ["n", "s"])
    tables.point(2)
    made, _ = run(options(tables, most=4, partition_by=by))
    files = [parquet.read_metadata(tables.folder / "runs" / f"run={made.run}" / name) for name in made.files]
    assert [(file.num_rows, file.num_row_groups) for file in files] == ([(ROWS // 2, 1)] * 2 if by else [(ROWS, 1)])


@pytest.mark.parametrize(("bound", "groups"), [({"GROUP_ROWS": 8}, 3), ({"GROUP_BYTES": 1}, 5)])
def test_what_is_held_back_to_be_written_is_bounded(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, bound: dict[str, int], groups: int
) -> None:
    for name, value in bound.items():
        monkeypatch.setattr(batch, name, value)
    made, _ = run(options(tables, most=4))
    (name,) = made.files
    assert parquet.read_metadata(tables.folder / "runs" / f"run={made.run}" / name).num_row_groups == groups
    assert list(tables.run(made.run)["id"]) == list(range(ROWS))


@pytest.fixture
def store(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder in an object store, where nothing can be renamed."""
    return in_store(azurite, monkeypatch)


def test_a_run_in_an_object_store_is_there_once_its_manifest_is(tables: Tables, store: str) -> None:
    tables.point(3, model=world.python_model("late", LATE))
    there = Options(tables.pointer, tables.input, f"{store}/runs", run="monday", most=4)
    with pytest.raises(Stop, match="ValueError: late"):
        run(there)
    assert runs.done(there.output, "monday") is None
    tables.point(2)
    made, fresh = run(there)
    assert (fresh, made.rows, run(there)) == (True, ROWS, (made, False))
    files = file_system(f"{store}/runs/run=monday")
    found = [parquet.read_table(name, filesystem=files) for name in made.files]
    assert sum(table.num_rows for table in found) == ROWS
    assert tables.status["wrote"]["churn-v2"]["folders"] == ["run=monday"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_MANIFEST = {
    "run": "r",
    "model": "m",
    "version": 1,
    "key": "1-a",
    "release": "m-v1",
    "uri": "u",
    "input": "i",
    "input_version": 0,
    "rows": 1,
    "schema": {},
    "files": [],
    "seconds": 1.0,
    "at": 1.0,
    "format": 1,
}


@given(st.dictionaries(st.sampled_from([*_MANIFEST, "since", "other"]), _json, max_size=3))
def test_whatever_a_manifest_holds_it_is_one_or_a_sentence(change: dict[str, Any]) -> None:
    found: runs.Manifest | str
    try:
        found = runs.parse({**_MANIFEST, **change}, "here")
    except Stop as error:
        found = str(error)
    if isinstance(found, str):
        assert "here is no manifest" in found
    else:
        assert type(found.rows) is int
        assert isinstance(found.model, str)


def test_a_document_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    where = str(tmp_path / "deep" / "one.json")
    assert documents.read(where) is None
    for n in range(3):
        documents.put(where, {"n": n})
        assert documents.read(f"file://{where}") == {"n": n}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["one.json"]
