"""One batch run on Spark: a Delta table, as it was at one version or as it grew since one, into one folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from scoring import documents, runs
from scoring import pointer as pointers
from scoring.batches import Commits, Make, carried_out, kept, moment, published, since_version
from scoring.batches import Options as Common
from scoring.errors import INPUT, USAGE, Stop
from scoring.model import NUMBER
from scoring.pointer import Release
from scoring.runs import Making, Manifest
from scoring.spark import session, tables
from scoring.spark.rows import LOCAL, MAP, prepare, to_arrow
from scoring.spark.trouble import not_written, said, unfed

TRIED = 1_000
"""Rows that a dry run scores at most."""


@dataclass(frozen=True, slots=True)
class Options(Common):
    """What a person says of a run."""

    apply: str = MAP
    """`map`, or `udf`: by MLflow's own function."""
    env_manager: str = LOCAL
    """Of `apply: udf`: MLflow's word for where the model's libraries come from."""


def dry_run(options: Options) -> int:
    """Score some rows and write none; how many. Raises Stop where they cannot be scored."""
    release = pointers.live(options.pointer)[0]
    spark = session.get(options.most)
    answering = prepare(spark, release, options.apply)
    frame = _frame(spark, options, _version(spark, options))
    answering.refuse_unfit(frame)
    some = frame.limit(TRIED)
    try:
        scored = answering.scored(some, kept(options, frame.columns), time.time_ns() // 1_000, options.env_manager)
        return len(scored.select(NUMBER).collect())
    except Stop:
        raise
    except Exception as error:
        raise not_written(error, "nothing") from error


def run(options: Options) -> tuple[Manifest, bool]:
    """The manifest of the run, and whether it was made now. Raises Stop."""

    def pinned() -> tuple[Options, int, Make]:
        spark = session.get(options.most)
        version, chosen = _version(spark, options), since_version(options, lambda: _commits(spark, options))
        return chosen, version, partial(_make, spark, chosen, version)

    return carried_out(options, "spark", pinned)


def _version(spark: Any, options: Options) -> int:
    """The version of the input that is scored, pinned from here on."""
    from pyspark.sql import functions as f

    if options.version is not None:
        return options.version
    found = tables.required(spark, options.input)
    try:
        if options.at is None:
            row = found.history(1).select("version").first()
        else:
            history = found.history().where(f.col("timestamp") <= f.lit(moment(options.at)))
            row = history.orderBy(f.col("version").desc()).select("version").first()
    except Stop:
        raise
    except Exception as error:
        raise Stop(INPUT, f"{options.input} cannot be read: {said(error)}") from error
    if row is None:
        raise Stop(INPUT, f"{options.input} has no version as old as {options.at}.")
    return int(row["version"])


def _commits(spark: Any, options: Options) -> Commits:
    rows = tables.required(spark, options.input).history().select("version", "timestamp").collect()
    return [(int(row["version"]), row["timestamp"].timestamp()) for row in rows]


def _frame(spark: Any, options: Options, version: int) -> Any:
    reader, since = spark.read.format("delta"), options.since
    grown = isinstance(since, int) and since <= version
    if grown:
        reader = reader.option("readChangeFeed", "true").option("startingVersion", since)
        reader = reader.option("endingVersion", version)
    else:
        reader = reader.option("versionAsOf", version)
    try:
        frame = tables.read(reader, options.input)
        if grown:
            frame = frame.where(tables.WANTED_CHANGES).drop(*tables.CHANGES)
        elif since is not None:
            frame = frame.limit(0)
        if options.where is not None:
            frame = frame.where(options.where)
        frame.schema  # noqa: B018 - asks Spark to look at the table now
    except Exception as error:
        kind = USAGE if options.where or since is not None else INPUT
        raise unfed(error) or Stop(kind, f"{options.input} cannot be read: {said(error)}") from error
    return frame


def _make(spark: Any, options: Options, version: int, release: Release, name: str) -> Manifest | None:
    """The run's folder, None where another one of the same name came first."""
    began = time.time()
    answering = prepare(spark, release, options.apply)
    frame = _frame(spark, options, version)
    answering.refuse_unfit(frame)
    keep = kept(options, frame.columns)
    scored = answering.scored(frame, keep, time.time_ns() // 1_000, options.env_manager)
    with runs.making(options.output, name) as made:
        rows = _write(scored, made, options, name)
        return published(
            made,
            options,
            release,
            name,
            input_version=version,
            rows=rows,
            schema={one.name: str(one.type) for one in to_arrow(scored)},
            began=began,
        )


def _write(scored: Any, made: Making, options: Options, name: str) -> int:
    """Write the rows; how many there were."""
    folder = made.folder
    if documents.is_remote(options.output):
        folder = f"{options.output.rstrip('/')}/{runs.folder_of(name)}/{made.folder}"
    try:
        writer = scored.write.mode("append").option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
        writer = writer.partitionBy(*options.partition_by) if options.partition_by else writer
        writer.parquet(folder)
    except Exception as error:
        raise not_written(error, options.output) from error
    return made.rows()
