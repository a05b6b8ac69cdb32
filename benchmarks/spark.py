"""Batch runs on Spark against what a person would write by hand: mapInPandas with a cached model, and `spark_udf`.

All in one Spark, in turn, from the same Delta table into Parquet, after one round that warms all of them up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import jobs
from benchmarks.bench import Bench, Figure, Measured, median_figure, sure

RIDGE, BOOSTED = 2_000_000, 1_000_000
"""Rows that each is run over."""
_LOADED: dict[str, Any] = {}
"""On a worker: the model, by its place."""


def run(bench: Bench) -> Measured:
    """A round: one run of each way, in turn."""
    from scoring.spark import session

    spark = session.get()
    measured: dict[str, Figure] = {}
    kinds = {"ridge": (RIDGE, jobs.model(bench, 1)), "boosted": (BOOSTED, _boosted(bench))}
    for name, (full, model) in kinds.items():
        rows = bench.of(full, 4_000)
        table = bench.fresh("features") / "table"
        jobs.grow(table, rows)
        pointer = bench.fresh("pointer") / "bench.json"
        jobs.point(pointer, 1, model)
        ways: dict[str, Callable[[Path], int]] = {
            "job": lambda out, table=table, pointer=pointer: _job(table, pointer, out),  # type: ignore[misc]
            "mapInPandas": lambda out, table=table, model=model: _by_hand(spark, table, model, out),  # type: ignore[misc]
            "spark_udf": lambda out, table=table, model=model: _by_udf(spark, table, model, out),  # type: ignore[misc]
        }
        took: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(bench.rounds + 1):
            for way, score in ways.items():
                began = time.monotonic()
                written = score(bench.fresh(way) / "made")
                seconds = time.monotonic() - began
                sure(written == rows, f"{way} wrote every row")
                if number:
                    took[way].append(seconds)
            if number:
                bench.say(f"{name}: {', '.join(f'{way} {took[way][-1]:.2f} s' for way in ways)}")
        measured |= _figures(name, took, rows)
    return measured


def _figures(name: str, took: dict[str, list[float]], rows: int) -> Measured:
    ours, hand, udf = (took[way] for way in ("job", "mapInPandas", "spark_udf"))
    middle = {way: sorted(each)[len(each) // 2] for way, each in took.items()}
    told = f"{middle['job']:.2f} s against {{:.2f}} s for {rows:,} rows"
    return {
        f"spark_{name}": median_figure(
            [a / b for a, b in zip(ours, hand, strict=True)], told.format(middle["mapInPandas"])
        ),
        f"spark_{name}_udf": median_figure(
            [b / a for a, b in zip(ours, udf, strict=True)], told.format(middle["spark_udf"])
        ),
    }


def _job(table: Path, pointer: Path, out: Path) -> int:
    """One run of the job, as `python -m scoring batch --engine spark` makes it; its rows."""
    from scoring.spark.batch import Options
    from scoring.spark.batch import run as run_job

    return run_job(Options(str(pointer), str(table), str(out)))[0].rows


def _by_hand(spark: Any, table: Path, model: Path, out: Path) -> int:
    from pyspark.sql.types import DoubleType, StructField, StructType

    frame = spark.read.format("delta").load(str(table))
    schema = StructType([*frame.schema.fields, StructField("prediction", DoubleType())])
    names, uri = jobs.names(), str(model)

    def scored(batches: Iterator[Any]) -> Iterator[Any]:
        from benchmarks.spark import loaded

        held = loaded(uri)
        for batch in batches:
            batch["prediction"] = held.predict(batch[names])
            yield batch

    return _written(frame.mapInPandas(scored, schema), out)


def loaded(uri: str) -> Any:
    """On a worker: the model, loaded once."""
    if uri not in _LOADED:
        from mlflow import pyfunc

        _LOADED[uri] = pyfunc.load_model(uri, suppress_warnings=True)
    return _LOADED[uri]


def _by_udf(spark: Any, table: Path, model: Path, out: Path) -> int:
    from mlflow.pyfunc import spark_udf
    from pyspark.sql import functions as f

    frame = spark.read.format("delta").load(str(table))
    function = spark_udf(spark, str(model), env_manager="local")
    return _written(frame.withColumn("prediction", function(f.struct(*jobs.names()))), out)


def _written(scored: Any, out: Path) -> int:
    """Write the rows with the columns that the job adds to its own; how many."""
    from pyarrow import parquet
    from pyspark.sql import functions as f

    stamp = {"model_name": f.lit("bench"), "model_version": f.lit(1).cast("long"), "scored_at": f.current_timestamp()}
    scored.withColumns(stamp).write.parquet(str(out))
    return sum(parquet.read_metadata(path).num_rows for path in out.glob("*.parquet"))


def _boosted(bench: Bench) -> Path:
    """Gradient boosting of 60 rounds with ten features: a model whose own time counts."""
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows = pd.DataFrame(np.random.default_rng(1).normal(size=(2_000, jobs.FEATURES)), columns=jobs.names())
    fitted = HistGradientBoostingRegressor(max_iter=60, early_stopping=False).fit(rows, rows.sum(axis=1))
    made = bench.folder / "boosted"
    mlflow.sklearn.save_model(
        fitted,
        made,
        signature=infer_signature(rows, fitted.predict(rows)),
        pip_requirements=["scikit-learn"],
        serialization_format="cloudpickle",
    )
    return made
