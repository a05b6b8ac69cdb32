"""The rows that are used: read once for their identity, with truth, slices and groups kept beside the predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.columns import Columns
from evaluation.data import Rows
from evaluation.errors import EvaluationFailed, Impossible
from evaluation.identity import Identity
from evaluation.job import Job
from evaluation.store import Store, placed, read_json, write_json

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Kept:
    """What is known of the rows before any model is scored."""

    identity: str
    rows: int
    folder: Path
    table_version: int | None

    def columns(self) -> Columns:
        """Truth, slices and groups."""
        return Columns(self.folder / "rows.parquet")


def kept(job: Job, rows: Rows, store: Store) -> Kept:
    """Read the rows for their identity, unless these were read before. Raises EvaluationFailed and Impossible."""
    return known(job, rows, store) or _read(job, rows, store.rows(job.rows_key(rows.token)))


def known(job: Job, rows: Rows, store: Store) -> Kept | None:
    """What these rows were when they were read before."""
    folder = store.rows(job.rows_key(rows.token))
    found = read_json(folder / "manifest.json")
    return Kept(found["identity"], found["rows"], folder, rows.table_version) if isinstance(found, dict) else None


def features(job: Job, rows: Rows) -> list[str]:
    """Columns for a model that has no signature: all but target, group and slices."""
    beside = {job.target, job.group, *(column for column, _ in job.slices)}
    return [name for name in rows.schema().names if name not in beside]


def used(job: Job, rows: Rows, identity: Identity) -> Iterator[pa.RecordBatch]:
    """The rows once more, for a model to score; they count into `identity`, to be compared at the end."""
    for batch in rows.spread(job.max_rows):
        identity.add(batch)
        yield batch


def _read(job: Job, rows: Rows, folder: Path) -> Kept:
    import pyarrow as pa
    from pyarrow import parquet

    schema = rows.schema()
    beside = list(dict.fromkeys([job.target, *(c for c, _ in job.slices), *([job.group] if job.group else [])]))
    for column in beside:
        if column not in schema.names:
            known = ", ".join(schema.names[:20])
            raise Impossible(f"The holdout {rows.source.uri} has no column {column!r}; it has: {known}.")
    identity = Identity(schema)
    wanted = pa.schema([schema.field(name) for name in beside])
    with placed(folder) as spare:
        with parquet.ParquetWriter(spare / "rows.parquet", wanted) as writer:
            for batch in used(job, rows, identity):
                empty = batch.column(job.target).null_count
                if empty:
                    raise EvaluationFailed(
                        f"The holdout {rows.source.uri} has rows without a {job.target!r}: leave them out of it."
                    )
                writer.write_batch(batch.select(beside))
        if not identity.rows:
            raise EvaluationFailed(f"The holdout {rows.source.uri} has no rows.")
        found = Kept(identity.hexdigest(), identity.rows, folder, rows.table_version)
        manifest = {
            "identity": found.identity,
            "rows": found.rows,
            "source": rows.source.uri,
            "table_version": found.table_version,
        }
        write_json(spare / "manifest.json", manifest)
    return found
