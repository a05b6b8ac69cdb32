"""A table of features that keeps growing, and what the jobs made of it, counted in the tables and folders."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ID = "id"
ROWS = 25
"""Rows that come at a time."""
EVERY = 0.5
"""Seconds between two times."""


@dataclass(frozen=True, slots=True)
class Run:
    """One batch run, as its manifest says."""

    folder: str
    version: int
    rows: int
    input_rows: int
    """Rows of the input at the version that was scored, counted anew."""
    read: int
    """Rows that lie in its folder."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows in, rows out."""

    rows_in: int = 0
    rows_out: int = 0
    lost: int = 0
    """Rows in that did not come out."""
    twice: int = 0
    """Rows out beyond the first of the same row in."""
    versions: Mapping[int, int] | None = None
    """Version -> rows."""
    last: int | None = None
    """The version that scored the newest rows."""
    runs: tuple[Run, ...] = ()


class Feeder:
    """Appends rows in a thread of its own until it is stopped."""

    def __init__(self, table: Path) -> None:
        self._table = table
        self.rows = 0
        """How many have come."""
        self._rows: Any = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self, rows: Any) -> None:
        """Append samples of these rows (pandas). The table is there once this returns."""
        self._rows = rows
        self._append()
        self._thread.start()

    def stop(self) -> None:
        """No row comes after this returns."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            self._append()

    def _append(self) -> None:
        import pyarrow as pa
        from deltalake import write_deltalake

        some = self._rows.sample(ROWS, replace=True, random_state=self.rows)
        some.insert(0, ID, range(self.rows, self.rows + ROWS))
        write_deltalake(str(self._table), pa.Table.from_pandas(some, preserve_index=False), mode="append")
        self.rows += ROWS


def rows_of(table: Path) -> int:
    """How many rows a table has, none where it is not there."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return int(DeltaTable(str(table)).count())
    except TableNotFoundError:
        return 0


def count(features: Path, scores: Path, runs: Path) -> Scored:
    """What is there now."""
    from deltalake import DeltaTable

    if not rows_of(scores):
        return Scored(rows_in=rows_of(features), lost=rows_of(features))
    asked = DeltaTable(str(features)).to_pyarrow_table(columns=[ID])[ID].to_pandas()
    told = DeltaTable(str(scores)).to_pyarrow_table(columns=[ID, "model_version", "scored_at"]).to_pandas()
    versions = told["model_version"].value_counts().sort_index()
    return Scored(
        rows_in=len(asked),
        rows_out=len(told),
        lost=int((~asked.isin(told[ID])).sum()),
        twice=int(told[ID].duplicated().sum()),
        versions={int(version): int(rows) for version, rows in versions.items()},
        last=int(told.sort_values("scored_at")["model_version"].iloc[-1]),
        runs=tuple(_run(features, manifest) for manifest in sorted(runs.glob("run=*/manifest.json"))),
    )


def _run(features: Path, manifest: Path) -> Run:
    from deltalake import DeltaTable
    from pyarrow import parquet

    told = json.loads(manifest.read_text())
    there = DeltaTable(str(features), version=told["input_version"]).count()
    read = sum(parquet.read_metadata(manifest.parent / name).num_rows for name in told["files"])
    return Run(manifest.parent.name, told["version"], told["rows"], int(there), read)
