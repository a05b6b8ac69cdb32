"""A stream on Spark scores every row once, with the version that the pointer named when its micro-batch began."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scoring.errors import INPUT, OUTPUT, USAGE, VERSION, Stop
from scoring.spark import session
from scoring.spark.stream import Options, Stream
from tests.scoring import world
from tests.scoring.processes import ROOT
from tests.scoring.world import ROWS, Tables, wait_until

PATIENCE = 300.0
"""Seconds; a Spark that starts on a machine that does much else takes a minute or more."""


def options(tables: Tables, **more: Any) -> Options:
    return Options(tables.pointer, tables.input, tables.output, **{"every": 0.2, **more})


def versions(tables: Tables) -> dict[int, int]:
    counts = tables.scored()["model_version"].value_counts()
    return {int(version): int(count) for version, count in counts.items()}


def told(tables: Tables) -> dict[str, Any]:
    """What the stream says of itself, nothing before it first did."""
    return tables.status if (tables.folder / "churn.status.json").exists() else {}


def exactly_once(tables: Tables) -> bool:
    return list(tables.scored()["id"]) == list(range(tables.rows))


@contextlib.contextmanager
def running(stream: Stream, raised: list[Stop] | None = None) -> Iterator[None]:
    def run() -> None:
        try:
            stream.run()
        except Stop as error:
            if raised is None:
                raise
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stream.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_rows_that_come_are_scored_once_and_a_moved_pointer_swaps_at_a_boundary(tables: Tables) -> None:
    with running(Stream(options(tables))):
        wait_until(lambda: told(tables).get("last"), PATIENCE)
        tables.point(3)
        tables.grow(7)
        wait_until(lambda: written(tables) == ROWS + 7, PATIENCE)
    assert versions(tables) == {2: ROWS, 3: 7}
    assert exactly_once(tables)
    scored = tables.scored()
    assert list(scored["prediction"]) == [n * 1.5 * (2 if n < ROWS else 3) for n in range(ROWS + 7)]
    assert tables.status["wrote"]["churn-v3"]["rows"] == 7


def test_what_is_there_is_scored_and_the_stream_ends(tables: Tables) -> None:
    Stream(options(tables, once=True)).run()
    tables.grow(5)
    Stream(options(tables, once=True)).run()
    Stream(options(tables, once=True)).run()
    assert exactly_once(tables)


def test_a_batch_that_was_written_before_a_crash_is_not_written_again(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Stream, "_tell", lambda *_: (_ for _ in ()).throw(OSError("killed after the commit")))
        with pytest.raises(Stop):
            Stream(options(tables, once=True)).run()
    assert len(tables.scored()) == ROWS
    tables.point(3)
    Stream(options(tables, once=True)).run()
    assert exactly_once(tables)
    assert versions(tables) == {2: ROWS}
    assert tables.status["wrote"]["churn-v2"]["rows"] == ROWS


def test_rows_wait_for_a_version_that_can_score_them(tables: Tables) -> None:
    tables.point(4, world.python_model("raises", "raise KeyError('bmi')"))
    with running(Stream(options(tables))):
        wait_until(lambda: (told(tables).get("error") or {}).get("kind") == "version", PATIENCE)
        tables.point(3)
        wait_until(lambda: told(tables).get("last"), PATIENCE)
    assert versions(tables) == {3: ROWS}


def test_an_output_that_is_gone_is_not_begun_anew_unasked(tables: Tables) -> None:
    import shutil

    Stream(options(tables, once=True)).run()
    shutil.rmtree(tables.output)
    with pytest.raises(Stop, match="deleted or replaced") as caught:
        Stream(options(tables, once=True)).run()
    assert caught.value.kind == OUTPUT
    Stream(options(tables, once=True, begin=True)).run()
    assert exactly_once(tables)


def test_an_output_that_is_deleted_under_a_stream_ends_it(tables: Tables) -> None:
    import shutil

    raised: list[Stop] = []
    with running(Stream(options(tables, checkpoint=str(tables.folder / "checkpoint"))), raised):
        wait_until(lambda: told(tables).get("last"), PATIENCE)
        shutil.rmtree(tables.output)
        tables.grow(3)
        wait_until(lambda: raised, PATIENCE)
    assert (raised[0].kind, Path(tables.output).exists()) == (OUTPUT, False)


def test_a_change_of_the_inputs_columns_stops_the_stream_until_the_columns_that_go_along_are_named(
    tables: Tables,
) -> None:
    from deltalake import DeltaTable, Field
    from deltalake.schema import PrimitiveType

    raised: list[Stop] = []
    with running(Stream(options(tables)), raised):
        wait_until(lambda: told(tables).get("last"), PATIENCE)
        DeltaTable(tables.input).alter.add_columns(Field("region", PrimitiveType("string")))
        tables.grow(2, region=["n", "s"])
        wait_until(lambda: raised, PATIENCE)
    assert raised[0].kind == INPUT
    assert "change with version 1" in str(raised[0])
    assert tables.status["error"]["kind"] == INPUT
    with pytest.raises(Stop) as caught:
        Stream(options(tables, once=True)).run()
    assert caught.value.kind == OUTPUT
    Stream(options(tables, once=True, columns=("id", "a", "b"))).run()
    assert exactly_once(tables)


def test_rows_that_were_rewritten_stop_the_stream_unless_the_change_feed_tells_them(tables: Tables) -> None:
    from deltalake import DeltaTable

    Stream(options(tables, once=True)).run()
    DeltaTable(tables.input).update({"a": "a + 100"}, predicate="id < 3")
    with pytest.raises(Stop, match="enableChangeDataFeed") as caught:
        Stream(options(tables, once=True)).run()
    assert caught.value.kind == INPUT


def test_what_the_change_feed_says_was_inserted_or_updated_is_scored(tables: Tables, spark: Any) -> None:
    from delta.tables import DeltaTable

    spark.sql(f"ALTER TABLE delta.`{tables.input}` SET TBLPROPERTIES (delta.enableChangeDataFeed = true)")
    Stream(options(tables, once=True)).run()
    table = DeltaTable.forPath(spark, tables.input)
    table.update("id < 3", {"a": "a + 100"})
    table.delete("id = 5")
    tables.grow(2)
    Stream(options(tables, once=True)).run()
    assert sorted(tables.scored()["id"]) == sorted([*range(ROWS + 2), 0, 1, 2])


def test_an_answer_of_another_type_than_the_outputs_is_the_versions_fault(tables: Tables) -> None:
    Stream(options(tables, once=True)).run()
    tables.grow(1)
    tables.point(5, world.python_model("texts", "return ['x'] * len(model_input)", output="string"))
    with pytest.raises(Stop, match="'prediction'") as caught:
        Stream(options(tables, once=True)).run()
    assert caught.value.kind == VERSION


def test_without_a_version_there_is_nothing_to_score_with(tables: Tables) -> None:
    tables.point(None)
    with pytest.raises(Stop, match="names no version") as caught:
        Stream(options(tables, once=True)).run()
    assert caught.value.kind == USAGE


def written(tables: Tables) -> int:
    return len(tables.scored()) if any((Path(tables.output) / "_delta_log").glob("*.json")) else 0


def _grown(tables: Tables, before: int) -> None:
    wait_until(lambda: written(tables) > before, PATIENCE)


def _killed(tables: Tables, times: int) -> None:
    chance = random.Random(7)
    command = [sys.executable, "-m", "scoring", "stream", "--engine", "spark", "--pointer", tables.pointer]
    command += ["--input", tables.input, "--output", tables.output, "--every", "0.1"]
    # The jars that this Spark has resolved already.
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SCORING_JARS": session.get().conf.get("spark.jars")}
    for number in range(times):
        before = written(tables)
        process = subprocess.Popen(command, env=env, start_new_session=True)
        try:
            tables.grow(11)
            tables.point(2 + number % 2)
            _grown(tables, before)
            tables.grow(11)
            threading.Event().wait(chance.random() * 2)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    Stream(options(tables, once=True)).run()
    assert exactly_once(tables)
    assert sum(one["rows"] for one in tables.status["wrote"].values()) == tables.rows


def test_a_stream_that_is_killed_loses_nothing_and_writes_nothing_twice(tables: Tables) -> None:
    _killed(tables, 3)


@pytest.mark.long
def test_a_stream_that_is_killed_again_and_again_loses_nothing(tables: Tables) -> None:
    _killed(tables, 20)
