"""The Spark session of a job: the cluster's own, or a local one that can read and write Delta."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from scoring.errors import USAGE, Stop, sentence

LOCAL = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
    # Delta's 50 by default are most of the time of a small table.
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}

GIVEN = ("DATABRICKS_RUNTIME_VERSION", "PYSPARK_GATEWAY_PORT", "SPARK_REMOTE")
"""Each says that there is a Spark that this job was started for."""


def get(rows: int | None = None) -> Any:
    """The session that is there already, else a local one; `rows` are in a worker's memory at a time.

    Raises Stop where Java or the Delta jars cannot be had.
    """
    found = _session()
    _refuse_without_delta(found)
    # By default they are written in a form of long ago, which says nothing of UTC.
    found.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    if rows is not None:
        found.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(rows))
    return found


def _session() -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise Stop(USAGE, "The engine `spark` needs pyspark, which is not installed here.") from error
    active = SparkSession.getActiveSession()
    # Databricks, and spark-submit, have decided where it runs and what it can read.
    if active is not None or any(os.environ.get(name) for name in GIVEN):
        return active or SparkSession.builder.getOrCreate()
    return _local(SparkSession)


def _refuse_without_delta(session: Any) -> None:
    jvm = getattr(session, "_jvm", None)
    if jvm is None:
        return
    from py4j.java_gateway import JavaPackage
    from py4j.protocol import Py4JError

    try:
        # Of a class that is not there py4j makes a package.
        missing = isinstance(jvm.io.delta.tables.DeltaTable, JavaPackage)
    except Py4JError:
        return  # a shared cluster may forbid the look
    if missing:
        raise Stop(
            USAGE,
            "This Spark has no Delta: name its jars in SCORING_JARS, or to spark-submit with"
            " `--packages io.delta:delta-spark_4.2_2.13:4.4.0`.",
        )


def _local(kind: Any) -> Any:
    # Workers are told by their environment which Python is meant, and where this package lies.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    above = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if above not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([above, *filter(None, known)])
    builder = kind.builder.appName("scoring")
    for key, value in LOCAL.items():
        builder = builder.config(key, value)
    if jars := os.environ.get("SCORING_JARS"):
        builder = builder.config("spark.jars", jars)
    else:
        from delta import configure_spark_with_delta_pip

        builder = configure_spark_with_delta_pip(builder)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        raise Stop(
            USAGE,
            "Spark does not start: it needs Java 17 or 21 (JAVA_HOME) and the Delta jars, from Maven or named in"
            f" SCORING_JARS ({sentence(error, 200)}).",
        ) from error
    # What goes wrong is told in sentences; pages of Java and a traceback would stand before each.
    session.sparkContext.setLogLevel("FATAL")
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    return session
