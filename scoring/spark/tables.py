"""Delta tables on Spark: by a path or URL, or by the name that a catalog has for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from scoring.errors import INPUT, Stop
from scoring.spark.trouble import said

CHANGES = ("_change_type", "_commit_version", "_commit_timestamp")
"""Columns that the change data feed adds."""
WANTED_CHANGES = "_change_type IN ('insert', 'update_postimage')"


def is_name(where: str) -> bool:
    """`schema.table` is a name; what has a slash, or no period, is a place."""
    return "." in where and "/" not in where


def table(spark: Any, where: str) -> Any:
    """Delta's own view of a table, None where there is none."""
    from delta.tables import DeltaTable

    if is_name(where):
        return DeltaTable.forName(spark, where) if spark.catalog.tableExists(where) else None
    return DeltaTable.forPath(spark, where) if DeltaTable.isDeltaTable(spark, where) else None


def required(spark: Any, where: str) -> Any:
    """The same. Raises Stop where there is none."""
    try:
        found = table(spark, where)
    except Exception as error:
        raise Stop(INPUT, f"{where} cannot be read: {said(error)}") from error
    if found is None:
        raise Stop(INPUT, f"There is no Delta table at {where}.")
    return found


def read(reader: Any, where: str) -> Any:
    """The frame of a reader that was told what to read; of a stream too."""
    return reader.table(where) if is_name(where) else reader.load(where)


def save(writer: Any, where: str) -> None:
    """Write what a writer was given."""
    if is_name(where):
        writer.saveAsTable(where)
    else:
        writer.save(where)


def about(found: Any) -> tuple[str, Mapping[str, str]]:
    """The table's own id, the same for as long as it is the same table, and its properties."""
    row = found.detail().select("id", "properties").first()
    return str(row["id"]), dict(row["properties"] or {})


def notes(found: Any, key: str, most: int, above: int = -1) -> Iterator[dict[str, Any]]:
    """What our own newest commits above a version say, oldest first: `version`, `timestamp` (ms), `rows`, and the note.

    `key` tells our notes from other people's.
    """
    columns = ("version", "timestamp", "userMetadata", "operationMetrics")
    for row in sorted(found.history(most).select(*columns).collect(), key=lambda row: int(row["version"])):
        try:
            told = json.loads(row["userMetadata"] or "null")
        except ValueError:
            continue
        if int(row["version"]) <= above or not isinstance(told, dict) or key not in told:
            continue
        rows = int((row["operationMetrics"] or {}).get("numOutputRows", 0))
        at = 1_000 * row["timestamp"].timestamp()
        yield {**told, "version": int(row["version"]), "timestamp": at, "rows": rows}
