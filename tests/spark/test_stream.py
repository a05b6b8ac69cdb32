"""A stream on Spark scores every row once, with the version that the pointer named when its micro-batch began."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from scoring.errors import INPUT, OUTPUT, USAGE, Stop
from scoring.spark import session
from tests.scoring import world
from tests.scoring.processes import ROOT
from tests.scoring.stream_suite import Bench, StreamContract
from tests.scoring.world import ROWS
from tests.spark.models import mllib

PATIENCE = 300.0
"""Seconds; a Spark that starts on a machine that does much else takes a minute or more."""


class TestSpark(StreamContract):
    """In the one Spark of these tests."""

    ENGINE = "spark"
    EVERY = 0.2
    PATIENCE = PATIENCE

    def test_a_change_of_the_inputs_columns_stops_the_stream_until_the_columns_that_go_along_are_named(
        self, bench: Bench
    ) -> None:
        from deltalake import DeltaTable, Field
        from deltalake.schema import PrimitiveType

        with bench.running() as raised:
            bench.until(lambda: bench.told.get("last"))
            DeltaTable(bench.tables.input).alter.add_columns(Field("region", PrimitiveType("string")))
            bench.tables.grow(2, region=["n", "s"])
            bench.until(lambda: raised)
        assert raised[0].kind == INPUT
        assert "change with version 1" in str(raised[0])
        assert bench.error["kind"] == INPUT
        with pytest.raises(Stop) as caught:
            bench.once()
        assert caught.value.kind == OUTPUT
        bench.once(columns=("id", "a", "b"))
        assert bench.exactly_once

    def test_a_checkpoint_that_was_named_is_not_used_for_another_output(self, bench: Bench) -> None:
        """It remembers rows that the new output does not have."""
        where = {name: str(bench.tables.folder / name) for name in ("one", "two")}
        bench.once(checkpoint=where["one"])
        shutil.rmtree(bench.tables.output)
        with pytest.raises(Stop, match="is of another input or output") as caught:
            bench.once(checkpoint=where["one"], begin=True)
        assert caught.value.kind == USAGE
        bench.once(checkpoint=where["two"], begin=True)
        assert bench.exactly_once

    def test_what_the_pointer_names_in_the_middle_of_a_micro_batch_scores_the_next_one(self, bench: Bench) -> None:
        """It is loaded meanwhile: here the micro-batch does not end before."""
        began, loaded = (bench.tables.folder / name for name in ("began", "loaded"))
        waits = f"import pathlib, time\npathlib.Path({str(began)!r}).touch()\nuntil = time.monotonic() + 60"
        waits += f"\nwhile not pathlib.Path({str(loaded)!r}).exists():\n    assert time.monotonic() < until"
        waits += "\n    time.sleep(0.02)\nreturn model_input['a']"
        marks = f"import pathlib\npathlib.Path({str(loaded)!r}).touch()"
        bench.tables.point(1, world.python_model("waits", waits))
        second = world.python_model("marks_loading", "return model_input['a']", top=marks)
        loaded.unlink()
        with bench.running():
            bench.until(began.exists)
            bench.tables.grow(5)
            bench.tables.point(2, second)
            bench.until_all_is_scored()
        assert bench.versions == {1: ROWS, 2: 5}

    def test_models_of_mllib_and_of_other_flavours_take_turns(self, bench: Bench, spark: Any) -> None:
        with bench.running():
            for version, model in enumerate((world.linear(2.0), mllib(spark, bench.tables.folder), None), 2):
                bench.tables.point(version, model)
                bench.until(lambda wanted=version: (bench.told.get("running") or {}).get("version") == wanted)
                bench.tables.grow(4)
                bench.until_all_is_scored()
        assert bench.exactly_once
        rows = bench.tables.scored()
        factor = rows["model_version"].map({1: 1.0, 2: 2.0, 3: 1.0, 4: 4.0})
        assert list(rows["prediction"].round(6)) == list((factor * (rows["a"] + rows["b"])).round(6))
        assert {version: bench.versions[version] for version in (3, 4)} == {3: 4, 4: 4}

    @pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.long)])
    def test_a_stream_that_is_killed_anywhere_loses_no_row_and_scores_none_twice(
        self, bench: Bench, times: int
    ) -> None:
        chance, tables = random.Random(7), bench.tables
        command = [sys.executable, "-m", "scoring", "stream", "--engine", "spark", "--pointer", tables.pointer]
        command += ["--input", tables.input, "--output", tables.output, "--every", "0.1"]
        # The jars that this Spark has resolved already.
        env = {**os.environ, "PYTHONPATH": str(ROOT), "SCORING_JARS": session.get().conf.get("spark.jars")}
        for number in range(times):
            before = bench.rows
            process = subprocess.Popen(command, env=env, start_new_session=True)
            try:
                tables.grow(11)
                tables.point(2 + number % 2)
                bench.until(lambda before=before: bench.rows > before)
                tables.grow(11)
                threading.Event().wait(chance.random() * 2)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        bench.once()
        assert bench.exactly_once
        assert sum(one["rows"] for one in tables.status["wrote"].values()) == tables.rows
