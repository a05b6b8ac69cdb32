"""A stream scores every row once, with the version that the pointer names, or stops and says why."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scoring import swap as swap_module
from scoring.delta.sink import Sink
from scoring.delta.source import Source, place, position
from scoring.delta.stream import Stream
from scoring.errors import INPUT, USAGE, VERSION, Stop
from scoring.pointer import Release
from scoring.report import Report
from scoring.swap import LONGEST_PAUSE, Swap
from tests.scoring.processes import streaming
from tests.scoring.stream_suite import StreamContract
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


class TestDelta(StreamContract):
    """Without a JVM."""

    ENGINE = "delta"


def test_every_row_carries_its_answer_and_which_version_gave_it_when(tables: Tables) -> None:
    tables.point(2)
    assert once(tables) == list(range(ROWS))
    rows = tables.scored()
    assert list(rows.columns) == ["id", "a", "b", "prediction", "model_name", "model_version", "scored_at"]
    assert list(rows["prediction"]) == [2 * (a + b) for a, b in zip(rows["a"], rows["b"], strict=True)]
    assert set(rows["model_name"]) == {"churn"}
    assert str(rows["scored_at"].dtype) == "datetime64[us, UTC]"


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


def test_a_version_that_is_loaded_ahead_is_taken_at_the_boundary_and_one_that_fails_rests(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap_module, "FIRST_PAUSE", LONGEST_PAUSE)
    tried: list[int] = []

    def load(release: Release) -> Any:
        tried.append(release.version)
        if release.version == 3:
            raise Stop(VERSION, "it does not load")
        return SimpleNamespace(release=release)

    tables.point(1)
    swap: Swap[Any] = Swap(tables.pointer, Report(tables.pointer, "stream", "spark"), load)
    first = swap.follow(60.0)
    tables.point(2)
    swap.ahead()
    wait_until(lambda: tried == [1, 2])
    assert swap.scorer is first
    second = swap.follow(60.0)
    assert second is not None
    assert (second.release.version, tried) == (2, [1, 2])
    tables.point(3)
    for _ in range(3):
        assert swap.follow(60.0) is second
        swap.ahead()
    assert tried == [1, 2, 3]
    swap.close()


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
