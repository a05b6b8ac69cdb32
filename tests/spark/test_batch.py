"""A batch run on Spark is the same folder with the same manifest as one without a JVM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scoring import pointer as pointers
from scoring import runs
from scoring.delta.batch import run as run_without
from scoring.errors import INPUT, USAGE, VERSION, Stop
from scoring.spark.batch import TRIED, Options, dry_run, run
from scoring.spark.rows import prepare
from scoring.spark.shipping import ship
from scoring.spark.stream import Options as StreamOptions
from scoring.spark.stream import Stream
from tests.scoring import world
from tests.scoring.processes import ROOT
from tests.scoring.world import ROWS, Tables
from tests.spark.models import mllib


def options(tables: Tables, **more: Any) -> Options:
    return Options(tables.pointer, tables.input, str(tables.folder / "runs"), **more)


def test_both_engines_give_the_same_rows_and_the_same_manifest(tables: Tables) -> None:
    tables.grow(5)
    made, fresh = run(options(tables, run="spark"))
    other, _ = run_without(options(tables, run="delta"))
    assert fresh
    assert (made.rows, made.input_version) == (ROWS + 5, 1)
    mine, theirs = tables.run("spark"), tables.run("delta")
    same = ["id", "a", "b", "prediction", "model_name", "model_version"]
    assert mine[same].equals(theirs[same])
    assert list(mine.columns) == list(theirs.columns)
    own = {"run", "files", "seconds", "at", "schema"}
    assert {k: v for k, v in asdict(made).items() if k not in own} == {
        k: v for k, v in asdict(other).items() if k not in own
    }


def of_this_spark(_: pytest.MonkeyPatch) -> None:
    """Nothing is changed."""


def of_spark_4_0(patch: pytest.MonkeyPatch) -> None:
    """As in runtimes of Databricks: nobody is asked for a zone, and moments without one are not taken for such."""
    from pyspark.sql.pandas import types

    to_arrow, from_arrow = types.to_arrow_schema, types.from_arrow_schema

    def older(schema: Any, *, timestamp_utc: bool = True) -> Any:
        return to_arrow(schema, timezone="UTC" if timestamp_utc else None)

    patch.setattr(types, "to_arrow_schema", older)
    patch.setattr(types, "from_arrow_schema", lambda schema, *ntz: from_arrow(schema, any(ntz)))


@pytest.mark.parametrize("functions", [of_this_spark, of_spark_4_0])
def test_columns_of_every_common_type_go_along_as_they_are(
    tables: Tables, functions: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime as dt
    from decimal import Decimal

    moment = dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC)
    functions(monkeypatch)
    more = {"at": [moment], "day": [moment.date()], "price": [Decimal("1.50")], "ok": [True]}
    more |= {"local": [moment.replace(tzinfo=None)]}
    other = Tables(tables.folder / "typed")
    other.folder.mkdir()
    other.grow(1, **more)
    other.point(2)
    made, _ = run(options(other, run="spark"))
    same, _ = run_without(options(other, run="delta"))
    assert (made.rows, set(made.schema)) == (1, set(same.schema))
    assert [made.schema[name] for name in ("at", "local")] == [same.schema[name] for name in ("at", "local")]
    mine, theirs = other.run("spark").to_dict("records")[0], other.run("delta").to_dict("records")[0]
    assert {k: v for k, v in mine.items() if k != "scored_at"} == {k: v for k, v in theirs.items() if k != "scored_at"}


def test_what_only_the_model_needs_does_not_go_along(tables: Tables) -> None:
    answers, _ = run(options(tables, run="all", columns=("id",)))
    assert set(answers.schema) == {"id", "prediction", "model_name", "model_version", "scored_at"}


@pytest.mark.parametrize("apply", ["map", "udf"])
def test_both_ways_to_score_give_the_same_answers_of_the_signatures_type(tables: Tables, apply: str) -> None:
    made, _ = run(options(tables, run=apply, apply=apply))
    assert made.schema["prediction"] == "double"
    assert list(tables.run(apply)["prediction"]) == [n * 3.0 for n in range(ROWS)]


def test_a_model_is_loaded_once_by_each_worker(tables: Tables) -> None:
    """Each loading leaves a mark; rows are many batches, on at most two workers of this Spark."""
    marks = tables.folder / "marks"
    marks.mkdir()

    def mark(kind: str) -> str:
        where = f"pathlib.Path({str(marks)!r}, f'{kind}-{{os.getpid()}}-{{time.time_ns()}}')"
        return f"import os, pathlib, time\n{where}.touch()"

    scores = f"{mark('scored')}\nreturn model_input['a'].astype('float64')"
    tables.point(7, world.python_model("marks", scores, top=mark("loaded")))
    for made in marks.iterdir():
        made.unlink()
    tables.grow(400)
    for name in ("one", "two"):
        assert run(options(tables, run=name, most=10))[0].rows == ROWS + 400
    pids = {kind: [path.name.split("-")[1] for path in marks.glob(f"{kind}-*")] for kind in ("loaded", "scored")}
    workers = set(pids["scored"])
    assert len(pids["scored"]) > 10 * len(workers)
    assert [pids["loaded"].count(worker) for worker in workers] == [1] * len(workers)


def test_a_run_is_made_once(tables: Tables) -> None:
    first, fresh = run(options(tables, run="monday"))
    tables.grow(5)
    again, anew = run(options(tables, run="monday"))
    assert (fresh, anew, again.rows) == (True, False, first.rows)


def test_rows_columns_and_partitions_are_chosen(tables: Tables) -> None:
    made, _ = run(options(tables, run="some", where="id < 4", columns=("id",), partition_by=("id",)))
    assert (made.rows, made.where) == (4, "id < 4")
    assert list(tables.run("some")["id"]) == [0, 1, 2, 3]
    assert any("id=3/" in name for name in made.files)


def test_the_input_is_read_as_it_was_and_as_it_grew(tables: Tables, spark: Any) -> None:
    with pytest.raises(Stop, match="change data feed") as caught:
        run(options(tables, since=0))
    assert caught.value.kind == USAGE
    spark.sql(f"ALTER TABLE delta.`{tables.input}` SET TBLPROPERTIES (delta.enableChangeDataFeed = true)")
    tables.grow(5)
    tables.grow(7)
    assert run(options(tables, version=0))[0].rows == ROWS
    logs = sorted(Path(tables.input, "_delta_log").glob("*.json"))
    # When a version came is to Spark when its file was written: here an hour after the one before.
    hours = [datetime.now(UTC) - timedelta(hours=len(logs) - version) for version in range(len(logs))]
    for log, hour in zip(logs, hours, strict=True):
        os.utime(log, (hour.timestamp(), hour.timestamp()))
    early, late = ((hours[version] - timedelta(minutes=30)).isoformat() for version in (2, 3))
    made = [run(options(tables, since=since, version=2))[0] for since in (2, early, late)]
    assert [(one.since, one.rows) for one in made] == [(2, 5), (2, 5), (3, 0)]
    ranges = [run(options(tables, since=early, at=at))[0] for at in (late, datetime.now(UTC).isoformat())]
    assert [(one.since, one.input_version, one.rows) for one in ranges] == [(2, 2, 5), (2, 3, 12)]


def test_a_run_that_cannot_be_leaves_nothing_that_looks_done(tables: Tables) -> None:
    model = world.python_model("raises", "raise KeyError('bmi')")
    tables.point(4, model)
    with pytest.raises(Stop) as caught:
        run(options(tables, run="bad"))
    assert "bmi" in str(caught.value)
    assert runs.done(str(tables.folder / "runs"), "bad") is None
    assert not [path for path in (tables.folder / "runs").iterdir() if path.name.startswith("run=")]


@pytest.mark.parametrize(
    ("more", "kind"),
    [({"where": "nothing = 1"}, USAGE), ({"version": 99}, INPUT), ({"columns": ("nothing",)}, USAGE)],
)
def test_a_choice_that_cannot_be_is_a_sentence(tables: Tables, more: dict[str, Any], kind: str) -> None:
    with pytest.raises(Stop) as caught:
        run(options(tables, **more))
    assert caught.value.kind == kind


def test_a_version_that_does_not_fit_the_table_is_refused_before_a_row_is_read(tables: Tables) -> None:
    tables.point(5, world.linear(5.0, ("a", "zz")))
    with pytest.raises(Stop, match="no column 'zz'") as caught:
        run(options(tables))
    assert caught.value.kind == VERSION


def test_workers_that_reach_neither_registry_nor_driver_are_sent_the_version(tables: Tables, spark: Any) -> None:
    release = pointers.live(tables.pointer)[0]
    moved = tables.folder / "moved"
    shutil.copytree(release.uri, moved)
    answering = prepare(spark, replace(release, uri=str(moved)))
    answering.shipped = ship(spark, release, moved, far=True)
    shutil.rmtree(moved)
    frame = spark.read.format("delta").load(tables.input)
    rows = answering.scored(frame, ["id"], 0).orderBy("id").collect()
    assert [row["prediction"] for row in rows] == [n * 3.0 for n in range(ROWS)]
    assert answering.shipped.uri.startswith("shipped:")


def test_a_version_that_is_given_by_its_uri_is_fetched_from_the_registry(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tables.folder}/mlflow.db")
    monkeypatch.chdir(tables.folder)
    with mlflow.start_run() as run_of_model:
        mlflow.log_artifacts(str(world.linear(2.0)), "model")
    mlflow.register_model(f"runs:/{run_of_model.info.run_id}/model", "churn")
    place = Options("models:/churn/1", tables.input, str(tables.folder / "runs"), run="given")
    tables.grow(2_000)
    assert dry_run(place) == TRIED
    assert not (tables.folder / "runs").exists()
    made, _ = run(place)
    assert (made.rows, made.release, made.version, made.uri) == (ROWS + 2_000, "v1", 1, "models:/churn/1")
    assert list(tables.run("given")["prediction"][:3]) == [0.0, 3.0, 6.0]


def test_tables_go_by_the_names_of_a_catalog_too(tables: Tables, spark: Any) -> None:
    spark.sql("CREATE DATABASE IF NOT EXISTS risk")
    try:
        spark.read.format("delta").load(tables.input).write.format("delta").saveAsTable("risk.features")
        made, _ = run(Options(tables.pointer, "risk.features", str(tables.folder / "runs"), run="named"))
        assert (made.rows, made.input, made.input_version) == (ROWS, "risk.features", 0)
        stream = StreamOptions(tables.pointer, "risk.features", "risk.scores", once=True)
        with pytest.raises(Stop, match="--checkpoint"):
            Stream(stream).run()
        for _ in range(2):
            Stream(replace(stream, checkpoint=str(tables.folder / "checkpoint"))).run()
        assert spark.table("risk.scores").count() == ROWS
    finally:
        spark.sql("DROP DATABASE risk CASCADE")


def test_a_spark_that_has_no_delta_is_told_with_the_remedy(tables: Tables) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SCORING_JARS": str(tables.folder / "nothing.jar")}
    done = subprocess.run([sys.executable, "-m", "scoring.spark"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "This Spark has no Delta: name its jars" in done.stderr


def test_mllib_scores_natively(tables: Tables, spark: Any) -> None:
    tables.point(6, mllib(spark, tables.folder))
    made, _ = run(options(tables, run="mllib"))
    found = tables.run("mllib")
    assert made.rows == ROWS
    assert list(found["prediction"].round(6)) == [n * 1.5 for n in range(ROWS)]
    assert set(found["model_version"]) == {6}
