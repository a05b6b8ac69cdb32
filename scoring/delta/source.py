"""The rows of an input table in the one order in which they came, at most so many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scoring.delta.log import CHANGE, WANTED_CHANGES, Commit, File, Log
from scoring.errors import INPUT, Stop, sentence

SHIFT = 32
AT_A_TIME = 16_384
"""Rows that are decoded at a time."""
MOST_VERSIONS = 1_000
"""Versions that one micro-batch may span."""


def position(version: int, rows: int = 0) -> int:
    """Everything before `version` is done, and `rows` rows of it: one number that grows, as Delta's `txn` wants."""
    return version << SHIFT | rows


def place(at: int) -> tuple[int, int]:
    """The version and the rows of a position."""
    return at >> SHIFT, at & ((1 << SHIFT) - 1)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next rows, and the position after them."""

    table: Any
    """An Arrow table of the input's schema; may have no rows."""
    after: int
    full: bool
    """Whether there is more already."""


class Source:
    """Reads on from a position. The rows after a position are always the same ones."""

    def __init__(self, uri: str, last: int | None = None) -> None:
        """`last`: the version after which nothing is read; None: all that come."""
        self.log = Log(uri)
        self._last = last
        self.uri, self.schema = uri, self.log.schema
        self._at: int | None = None
        self._coming: Iterator[tuple[Any, int] | None] = iter(())
        self._rest: tuple[Any, int] | None = None

    def start(self, wanted: str) -> int:
        """The position that `earliest`, `latest` or a version number stands for. Raises Stop where it is not there."""
        if wanted == "latest":
            return position(self.log.latest + 1)
        version = 0 if wanted == "earliest" else int(wanted)
        self.require(position(version))
        return position(version)

    def require(self, at: int) -> None:
        """Raises Stop where the log no longer has what comes after a position."""
        version, _ = place(at)
        if version <= self.log.latest and self.log.commit(version) is None:
            raise Stop(
                INPUT,
                f"Version {version} of {self.uri} is no longer in its log, which ends at {self.log.latest}: what came"
                " with it cannot be told from what was there. Start again with --start latest, or with a version.",
            )

    def next(self, at: int, most: int) -> Chunk | None:
        """At most `most` rows after a position, None where there is nothing after it yet. Raises Stop."""
        if at != self._at:
            self._coming, self._rest = self._rows(at), None
        # Whatever is raised, what comes next is read afresh.
        self._at = None
        chunk, whole = self._next(at, most)
        if whole:
            self._at = at if chunk is None else chunk.after
        return chunk

    def _next(self, at: int, most: int) -> tuple[Chunk | None, bool]:
        """The rows, and whether more may be read on from where this ended."""
        import pyarrow as pa

        parts: list[Any] = []
        have, after, whole = 0, at, True
        first, _ = place(at)
        while have < most and place(after)[0] - first < MOST_VERSIONS:
            try:
                found = self._rest or next(self._coming)
            except Stop:
                if after == at:
                    raise
                # What came before it is scored first; asked again, it is met again.
                whole = False
                break
            self._rest = None
            if found is None:
                break
            batch, end = found
            if batch is not None and have + batch.num_rows > most:
                cut = most - have
                self._rest = batch.slice(cut), end
                # Within a version a position counts rows, so the end of a part is that many before the end.
                batch, end = batch.slice(0, cut), end - (batch.num_rows - cut)
            if batch is not None and batch.num_rows:
                parts.append(batch)
                have += batch.num_rows
            after = end
        if after == at:
            return None, whole
        return Chunk(pa.Table.from_batches(parts, self.schema), after, have >= most or not whole), whole

    def _rows(self, at: int) -> Iterator[tuple[Any, int] | None]:
        """Batches with the position after each; None where the log ends for now."""
        version, skip = place(at)
        while True:
            commit = self.log.commit(version) if self._last is None or version <= self._last else None
            if commit is None:
                yield None
                continue
            self._same(commit)
            done = 0
            for file in commit.files:
                for batch in self._of(version, file):
                    seen, done = done, done + batch.num_rows
                    if done > skip:
                        yield batch.slice(max(skip - seen, 0)), position(version, done)
            version, skip = version + 1, 0
            yield None, position(version)

    def _same(self, commit: Commit) -> None:
        if commit.fields is None or commit.fields == self.log.fields or commit.version <= self.log.latest:
            return
        before, now = self.log.fields, commit.fields
        said = [f"{name} is gone" for name in before if name not in now]
        said += [f"{name} is new" for name in now if name not in before]
        said += [
            f"{name} was {before[name]} and is {now[name]}"
            for name in before
            if name in now and before[name] != now[name]
        ]
        raise Stop(
            INPUT,
            f"The columns of {self.uri} change with version {commit.version}: {'; '.join(said[:5]) or 'their order'}."
            " Everything before it is scored. Start again once the output and the versions to come fit.",
        )

    def _of(self, version: int, file: File) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(file.path, filesystem=self.log.files) as opened:
                for batch in opened.iter_batches(AT_A_TIME):
                    yield self._shaped(pa, batch, file)
        except (OSError, pa.ArrowException) as error:
            said = f"A file of version {version} of {self.uri} cannot be read: {sentence(error)}"
            raise Stop(INPUT, said, passing=True) from error

    def _shaped(self, pa: Any, batch: Any, file: File) -> Any:
        """The batch with the table's columns: those that the file lacks are partitions, or came later."""
        import pyarrow.compute as pc

        if file.changes:
            batch = batch.filter(pc.is_in(batch.column(CHANGE), pa.array(WANTED_CHANGES)))
        columns = []
        for field in self.schema:
            if field.name in file.partition:
                value = pa.scalar(file.partition[field.name], pa.string()).cast(field.type)
                columns.append(pa.repeat(value, batch.num_rows))
            elif (index := batch.schema.get_field_index(field.name)) >= 0:
                columns.append(batch.column(index).cast(field.type))
            else:
                columns.append(pa.nulls(batch.num_rows, field.type))
        return pa.record_batch(columns, schema=self.schema)
