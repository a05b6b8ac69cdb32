"""A stream scores every row once, with the version that the pointer names, or stops and says why."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from scoring import report
from scoring.delta.sink import Sink
from scoring.delta.source import Source, place, position
from scoring.delta.stream import Stream
from scoring.errors import INPUT, OUTPUT, USAGE, VERSION, Stop
from tests.scoring import world
from tests.scoring.processes import streaming
from tests.scoring.world import ROWS, Tables, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables.made(tmp_path)


@contextmanager
def running(tables: Tables, **options: Any) -> Iterator[list[Stop]]:
    """A stream in a thread; what it raised is in the list."""
    stream = Stream(tables.options(**options))
    raised: list[Stop] = []

    def run() -> None:
        try:
            stream.run()
        except Stop as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield raised
    finally:
        stream.stop()
        thread.join()


def versions(tables: Tables) -> dict[int, int]:
    found = tables.scored()["model_version"].value_counts()
    return {int(version): int(rows) for version, rows in found.items()}


def once(tables: Tables, **options: Any) -> list[int]:
    tables.score(**options)
    return list(tables.scored()["id"])


def test_every_row_carries_its_answer_and_which_version_gave_it_when(tables: Tables) -> None:
    tables.point(2)
    assert once(tables) == list(range(ROWS))
    rows = tables.scored()
    assert list(rows.columns) == ["id", "a", "b", "prediction", "model_name", "model_version", "scored_at"]
    assert list(rows["prediction"]) == [2 * (a + b) for a, b in zip(rows["a"], rows["b"], strict=True)]
    assert set(rows["model_name"]) == {"churn"}
    assert str(rows["scored_at"].dtype) == "datetime64[us, UTC]"


def test_a_stream_goes_on_where_the_last_one_ended(tables: Tables) -> None:
    tables.point(1)
    tables.score()
    tables.grow(5)
    tables.point(2)
    assert once(tables) == list(range(ROWS + 5))
    assert once(tables) == list(range(ROWS + 5))
    assert versions(tables) == {1: ROWS, 2: 5}


def test_a_micro_batch_has_no_more_rows_than_it_may_and_ends_anywhere_in_a_version(tables: Tables) -> None:
    tables.point(1)
    tables.grow(9)
    assert once(tables, most=7) == list(range(ROWS + 9))
    sizes = tables.scored().groupby("scored_at").size()
    assert sizes.max() <= 7
    assert len(sizes) == -(-(ROWS + 9) // 7)


def test_the_rows_after_a_position_are_the_same_however_they_are_read(tables: Tables) -> None:
    tables.grow(13)
    whole = Source(tables.input).next(0, 1_000)
    assert whole is not None
    ids = whole.table.column("id").to_pylist()
    for most in (1, 4, 6, 33):
        at, found = 0, []
        while (chunk := Source(tables.input).next(at, most)) is not None:
            assert chunk.table.num_rows <= most
            found += chunk.table.column("id").to_pylist()
            at = chunk.after
        assert found == ids
        assert place(at) == (2, 0)


def test_only_what_comes_from_now_on_is_scored_where_that_is_wanted(tables: Tables) -> None:
    tables.point(1)
    with running(tables, start="latest"):
        wait_until(lambda: (tables.folder / "churn.status.json").exists() and tables.status["running"])
        tables.grow(3)
        wait_until(lambda: tables.status["traffic"]["rows"] == 3)
    assert list(tables.scored()["id"]) == [ROWS, ROWS + 1, ROWS + 2]


def test_the_version_changes_between_two_micro_batches_and_never_within_one(tables: Tables) -> None:
    tables.point(1)
    with running(tables, most=50):
        for version in range(2, 8):
            tables.point(version % 3 + 1)
            for _ in range(4):
                tables.grow(10)
        wait_until(lambda: len(tables.scored()) == tables.rows)
    rows = tables.scored()
    assert list(rows["id"]) == list(range(tables.rows))
    assert (rows.groupby("scored_at")["model_version"].nunique() == 1).all()
    assert [*rows["prediction"]] == [*((rows["a"] + rows["b"]) * rows["model_version"])]


def test_two_moves_in_quick_succession_end_at_the_second(tables: Tables) -> None:
    tables.point(1)
    with running(tables):
        wait_until((tables.folder / "scores").exists)
        tables.point(2)
        tables.point(3, move="last")
        wait_until(lambda: tables.status["running"]["token"] == "last")
        tables.grow(4)
        wait_until(lambda: len(tables.scored()) == ROWS + 4)
    assert set(versions(tables)) <= {1, 3}
    assert tables.scored()["model_version"].iloc[-1] == 3


def test_moved_is_told_from_applied(tables: Tables) -> None:
    tables.point(1, move="one")
    with running(tables):
        wait_until(lambda: (tables.folder / "churn.status.json").exists() and tables.status["running"])
        assert tables.status["running"]["token"] == "one"
        tables.point(2, move="two")
        wait_until(lambda: tables.status["running"]["token"] == "two")
        assert tables.status["state"] == report.RUNNING
    assert tables.status["state"] == report.STOPPED


def test_a_pointer_that_cannot_be_read_changes_nothing_and_is_told(tables: Tables) -> None:
    tables.point(1)
    with running(tables):
        wait_until((tables.folder / "scores").exists)
        for content in ("{", "[]", '{"format": 1}', '{"format": 9, "model": "churn"}'):
            Path(tables.pointer).write_text(content)
            tables.grow(2)
            wait_until(lambda: len(tables.scored()) == tables.rows)
            wait_until(lambda: (tables.status["error"] or {}).get("kind") == "pointer")
        tables.point(2)
        wait_until(lambda: tables.status["running"]["version"] == 2 and tables.status["error"] is None)
    assert set(versions(tables)) == {1}


def test_a_version_that_does_not_load_leaves_the_one_before_running_and_is_told(tables: Tables, tmp_path: Path) -> None:
    tables.point(1)
    with running(tables):
        wait_until((tables.folder / "scores").exists)
        tables.point(2, model=tmp_path / "nowhere", move="bad")
        wait_until(lambda: tables.status["error"])
        error = tables.status["error"]
        assert (error["kind"], error["release"], error["token"]) == (VERSION, "churn-v2", "bad")
        tables.grow(5)
        wait_until(lambda: len(tables.scored()) == ROWS + 5)
        assert tables.status["error"] == error
    assert versions(tables) == {1: ROWS + 5}


def test_rows_that_a_version_cannot_score_wait_for_one_that_can(tables: Tables) -> None:
    tables.point(2, model=world.python_model("picky", "raise KeyError('bmi')"), move="bad")
    with running(tables):
        wait_until(lambda: (tables.folder / "churn.status.json").exists() and tables.status["error"])
        error = tables.status["error"]
        assert (error["kind"], error["release"], error["token"]) == (VERSION, "churn-v2", "bad")
        assert "KeyError: 'bmi'" in error["message"]
        tables.point(1)
        wait_until(lambda: (tables.folder / "scores").exists() and len(tables.scored()) == ROWS)
    assert versions(tables) == {1: ROWS}


def test_an_output_that_was_deleted_ends_the_stream_and_is_not_begun_anew_unless_that_is_wanted(tables: Tables) -> None:
    tables.point(1)
    with running(tables) as raised:
        wait_until(lambda: (tables.folder / "scores").exists() and tables.status["traffic"]["rows"] == ROWS)
        shutil.rmtree(tables.output)
        tables.grow(3)
        wait_until(lambda: raised)
    assert not Path(tables.output).exists()
    with pytest.raises(Stop, match="deleted or replaced") as stopped:
        tables.score()
    assert {raised[0].kind, stopped.value.kind} == {OUTPUT}
    assert tables.status["error"]["kind"] == OUTPUT
    assert once(tables, begin=True) == list(range(ROWS + 3))


def test_a_change_of_the_inputs_columns_stops_the_stream_once_all_before_it_is_scored(tables: Tables) -> None:
    from deltalake import DeltaTable

    tables.point(1)
    with running(tables) as raised:
        wait_until((tables.folder / "scores").exists)
        tables.grow(3)
        DeltaTable(tables.input).alter.add_columns(_field("region", "string"))
        wait_until(lambda: raised)
    assert list(tables.scored()["id"]) == list(range(ROWS + 3))
    assert "region is new" in str(raised[0])
    assert tables.status["error"]["kind"] == INPUT
    tables.grow(2, region=["n", "s"])
    with pytest.raises(Stop, match="no column 'region'"):
        tables.score()
    assert once(tables, columns=("id", "a", "b")) == list(range(ROWS + 5))


def _field(name: str, kind: str) -> Any:
    from deltalake import Field
    from deltalake.schema import PrimitiveType

    return Field(name, PrimitiveType(kind))


def test_rows_that_were_rewritten_stop_the_stream_unless_the_change_feed_tells_them(tables: Tables) -> None:
    from deltalake import DeltaTable

    tables.point(1)
    tables.score()
    DeltaTable(tables.input).update({"a": "a + 100"}, predicate="id < 3")
    with pytest.raises(Stop, match="enableChangeDataFeed"):
        tables.score()


def test_what_the_change_feed_says_was_inserted_or_updated_is_scored(tables: Tables) -> None:
    from deltalake import DeltaTable

    tables.point(1)
    DeltaTable(tables.input).alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
    DeltaTable(tables.input).update({"a": "a + 100"}, predicate="id < 3")
    DeltaTable(tables.input).delete(predicate="id = 5")
    tables.grow(2)
    assert sorted(once(tables)) == sorted([*range(ROWS + 2), 0, 1, 2])
    assert sorted(tables.scored()["a"])[-3:] == [100.0, 101.0, 102.0]


def test_compacting_the_input_scores_nothing_twice(tables: Tables) -> None:
    from deltalake import DeltaTable

    tables.point(1)
    for _ in range(3):
        tables.grow(4)
    tables.score()
    DeltaTable(tables.input).optimize.compact()
    tables.grow(1)
    assert once(tables) == list(range(ROWS + 13))


def test_a_second_stream_cannot_commit_what_the_first_one_did(tables: Tables) -> None:
    """delta-rs takes the same transaction identifier twice; the check and the commit must be of one version."""
    import pyarrow as pa

    rows = pa.table({"id": [1]})
    first, second = (Sink(tables.output, "app") for _ in range(2))
    assert first.append(rows, None, position(1), {})
    second = Sink(tables.output, "app")
    late = Sink(tables.output, "app")
    assert second.append(rows, position(1), position(2), {})
    assert not late.append(rows, position(1), position(2), {})
    assert Sink(tables.output, "app").position() == position(2)
    with pytest.raises(Stop, match="end one of the two"):
        first.append(rows, position(1), position(3), {})


def test_an_answer_of_another_type_than_the_outputs_is_the_versions_fault(tables: Tables) -> None:
    tables.point(1)
    tables.score()
    tables.grow(1)
    tables.point(2, model=world.python_model("texts", "return ['x'] * len(model_input)", output="string"))
    with pytest.raises(Stop, match="'prediction'") as stopped:
        tables.score()
    assert stopped.value.kind == VERSION


def test_what_was_written_is_counted_once_though_a_stream_ended_before_it_wrote_anything(tables: Tables) -> None:
    tables.point(1)
    tables.score()
    for _ in range(2):
        tables.point(None)
        with running(tables):
            wait_until(lambda: tables.status["state"] == "waiting")
    tables.point(1)
    tables.grow(3)
    tables.score()
    assert tables.status["wrote"]["churn-v1"]["rows"] == ROWS + 3


def test_without_a_version_there_is_nothing_to_score_with(tables: Tables) -> None:
    with pytest.raises(Stop, match="names no version") as stopped:
        tables.score()
    assert stopped.value.kind == USAGE


@pytest.mark.parametrize(
    ("pointer", "words"), [("", "no version yet"), ("models:/churn@champion", "no pinned version")]
)
@pytest.mark.parametrize("engine", ["delta", "spark"])
def test_a_pointer_that_never_will_name_a_version_ends_the_stream(
    tables: Tables, engine: str, pointer: str, words: str
) -> None:
    job = import_module(f"scoring.{engine}.stream")
    with pytest.raises(Stop, match=words) as stopped:
        job.Stream(job.Options(pointer, tables.input, tables.output)).run()
    assert stopped.value.kind == USAGE


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_a_stream_that_is_killed_anywhere_loses_no_row_and_scores_none_twice(tables: Tables, kills: int) -> None:
    chance = random.Random(kills)
    tables.point(1)
    for kill in range(kills):
        before = len(tables.scored()) if Path(tables.output).exists() else 0
        with streaming(tables.options(most=7)) as process:
            deadline = before + chance.randint(1, 30)
            while _rows(tables) < deadline:
                tables.grow(3)
                threading.Event().wait(0.05)
            tables.point(kill % 2 + 1)
            threading.Event().wait(chance.random() * 0.05)
            process.kill()
            process.wait()
    assert once(tables, most=7) == list(range(tables.rows))
    assert sum(one["rows"] for one in tables.status["wrote"].values()) == tables.rows


def _rows(tables: Tables) -> int:
    return len(tables.scored()) if (Path(tables.output) / "_delta_log").exists() else 0
