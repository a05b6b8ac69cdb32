"""One batch run: a Delta table, as it was at one version or as it came within some, into one folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from scoring import runs
from scoring.batches import Commits, Make, Options, carried_out, kept, moment, published, since_version
from scoring.delta.source import Source, position
from scoring.errors import INPUT, OUTPUT, USAGE, Stop, sentence
from scoring.model import Scorer, load
from scoring.pointer import Release
from scoring.runs import Making, Manifest

FILE_ROWS = 2_000_000
"""A file ends with the row group that brings it to so many rows."""
GROUP_ROWS, GROUP_BYTES = 262_144, 64 * 2**20
"""Of a row group: it ends with the batch that brings it to one of them, and is held back until then."""
DICTIONARY_BYTES = 64 * 2**10
"""Of a column's distinct values in a row group: where there are more, to number them costs most of the writing."""
PARTITIONED_ROWS = 1_000_000
"""Rows that are held back to be written to their partitions together."""
MOST_PARTITIONS = 1_024

__all__ = ["Options", "run"]


def run(options: Options) -> tuple[Manifest, bool]:
    """The manifest of the run, and whether it was made now. Raises Stop."""

    def pinned() -> tuple[Options, int, Make]:
        table = _table(options)
        chosen = since_version(options, lambda: _commits(options.input))
        return chosen, int(table.version()), partial(_make, chosen, table)

    return carried_out(options, "delta", pinned)


def _table(options: Options) -> Any:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        table = DeltaTable(options.input, version=options.version)
        if options.at is not None:
            table.load_as_version(moment(options.at))
        return table
    except TableNotFoundError as error:
        raise Stop(INPUT, f"There is no Delta table at {options.input}.") from error
    except (DeltaError, OSError) as error:
        which = f" at version {options.version}" if options.version is not None else ""
        raise Stop(INPUT, f"{options.input} cannot be read{which}: {sentence(error)}") from error


def _commits(uri: str) -> Commits:
    from deltalake import DeltaTable

    # Of the newest version: delta-rs numbers the history of an older one wrongly.
    return [(int(entry["version"]), int(entry["timestamp"]) / 1_000) for entry in DeltaTable(uri).history()]


def _make(options: Options, table: Any, release: Release, name: str) -> Manifest | None:
    """The run's folder, None where another one of the same name came first."""
    began = time.time()
    scorer = load(release)
    reader, schema = _rows(options, table)
    scorer.refuse_unfit(schema)
    keep = kept(options, schema.names)
    counted = [0]
    batches = _scored(reader, scorer, keep, options.most, counted)
    first = next(batches, None)
    with runs.making(options.output, name) as made:
        out = first.schema if first is not None else scorer.out_schema(schema, keep)
        _write(made, out, _chain(first, batches), options.partition_by)
        return published(
            made,
            options,
            release,
            name,
            input_version=int(table.version()),
            rows=counted[0],
            schema={field.name: str(field.type) for field in out},
            began=began,
        )


def _rows(options: Options, table: Any) -> tuple[Iterator[Any], Any]:
    """Batches of the rows that are asked for, and their schema."""
    import pyarrow as pa
    from deltalake.exceptions import DeltaError

    schema = pa.schema(table.schema())
    if isinstance(options.since, int):
        if options.where is not None:
            raise Stop(USAGE, "A run over a range of versions takes no --where.")
        return _since(options, options.since, int(table.version())), schema
    try:
        return (pa.record_batch(batch).cast(schema) for batch in table.scan(predicate=options.where)), schema
    except (DeltaError, OSError) as error:
        raise Stop(
            USAGE if options.where else INPUT, f"{options.input} cannot be scanned: {sentence(error)}"
        ) from error


def _since(options: Options, since: int, last: int) -> Iterator[Any]:
    source, at = Source(options.input, last), position(since)
    source.require(at)
    while (chunk := source.next(at, options.most)) is not None:
        yield from chunk.table.to_batches()
        at = chunk.after


def _scored(rows: Iterator[Any], scorer: Scorer, keep: list[str], most: int, counted: list[int]) -> Iterator[Any]:
    """The rows with their answers, a batch at a time: memory does not grow with the table."""
    import pyarrow as pa

    at_us = time.time_ns() // 1_000
    for some in _pieces(rows, most):
        table = pa.Table.from_batches(some)
        counted[0] += table.num_rows
        yield from scorer.stamped(table, at_us, keep).to_batches()


def _pieces(rows: Iterator[Any], most: int) -> Iterator[list[Any]]:
    """Batches put together until they have about `most` rows, and larger ones cut."""
    some: list[Any] = []
    have = 0
    for whole in rows:
        for begin in range(0, whole.num_rows, most):
            batch = whole.slice(begin, most)
            if some and have + batch.num_rows > most:
                yield some
                some, have = [], 0
            some.append(batch)
            have += batch.num_rows
    if some:
        yield some


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    if first is not None:
        yield first
        yield from rest


def _write(made: Making, schema: Any, batches: Iterator[Any], by: tuple[str, ...]) -> None:
    """All batches as files of the run. Raises Stop where they cannot be written, or scored."""
    import pyarrow as pa

    try:
        (_write_partitions if by else _write_files)(made, schema, batches, by)
    except (pa.ArrowException, OSError) as error:
        raise Stop(OUTPUT, f"The run cannot be written: {sentence(error)}") from error


def _write_files(made: Making, schema: Any, batches: Iterator[Any], _by: tuple[str, ...]) -> None:
    """One file after the other, a row group at a time: Arrow's writer of folders holds back more the more there is."""
    from pyarrow import parquet

    groups = _groups(schema, batches)
    group, number = next(groups, None), 0
    while number == 0 or group is not None:
        place = f"{made.folder}/part-{number}.parquet"
        with parquet.ParquetWriter(
            place, schema, filesystem=made.files, dictionary_pagesize_limit=DICTIONARY_BYTES
        ) as writer:
            rows = 0
            while group is not None and rows < FILE_ROWS:
                writer.write_table(group, group.num_rows)
                rows, group = rows + group.num_rows, next(groups, None)
        number += 1


def _groups(schema: Any, batches: Iterator[Any]) -> Iterator[Any]:
    """Batches put together as tables that are worth a row group each."""
    import pyarrow as pa

    some: list[Any] = []
    rows = size = 0
    for batch in batches:
        some.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_batches(some, schema)
            some, rows, size = [], 0, 0
    if some:
        yield pa.Table.from_batches(some, schema)


def _write_partitions(made: Making, schema: Any, batches: Iterator[Any], by: tuple[str, ...]) -> None:
    """Some rows at a time, each time into the folder of their values."""
    import pyarrow as pa
    from pyarrow import dataset

    parts = dataset.partitioning(pa.schema([schema.field(name) for name in by]), flavor="hive")
    for number, some in enumerate(_pieces(batches, PARTITIONED_ROWS)):
        dataset.write_dataset(
            pa.Table.from_batches(some, schema),
            made.folder,
            format="parquet",
            filesystem=made.files,
            partitioning=parts,
            basename_template=f"part-{number}-{{i}}.parquet",
            existing_data_behavior="overwrite_or_ignore",
            # Otherwise every batch becomes a row group of its own.
            min_rows_per_group=PARTITIONED_ROWS,
            max_partitions=MOST_PARTITIONS,
        )
