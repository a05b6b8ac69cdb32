"""The identity of rows: one hash over every value of every row, whatever files, batches or chunks they came in."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 65_536
"""Rows that are hashed together, so that the batches a reader happens to give do not show in the hash."""
FORMAT = b"rows 1\n"


class Identity:
    """Fed batch by batch; order counts, since rows of two models are paired by their place."""

    def __init__(self, schema: pa.Schema) -> None:
        self._hash = hashlib.sha256(FORMAT)
        for field in schema:
            self._hash.update(f"{field.name!r}:{field.type}\n".encode("utf-8", "surrogatepass"))
        self._waiting: list[pa.RecordBatch] = []
        self._count = 0
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the next rows."""
        self.rows += batch.num_rows
        while batch.num_rows:
            room = CHUNK - self._count
            self._waiting.append(batch.slice(0, room))
            self._count += min(room, batch.num_rows)
            batch = batch.slice(room) if batch.num_rows > room else batch.slice(0, 0)
            if self._count == CHUNK:
                self._flush()

    def hexdigest(self) -> str:
        """Of all rows so far; nothing may be added afterwards."""
        if self._count:
            self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        import pyarrow as pa

        table = pa.Table.from_batches(self._waiting).combine_chunks()
        for column in table.columns:
            array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
            for part in _canonical(array):
                self._hash.update(len(part).to_bytes(8, "little"))
                self._hash.update(part)
        self._waiting, self._count = [], 0


def _canonical(array: pa.Array) -> list[memoryview | bytes]:
    """The values as bytes that depend on nothing but the values; what lies under a null is not one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    missing = _bytes(pc.is_null(array).cast(pa.uint8())) if array.null_count else b""
    kind = array.type
    if pa.types.is_boolean(kind):
        return [missing, _bytes(array.cast(pa.uint8()).fill_null(0))]
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return [missing, _bytes(array.fill_null(0))]
    if pa.types.is_temporal(kind) and kind.bit_width in (32, 64):
        return [missing, _bytes(array.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).fill_null(0))]  # noqa: PLR2004 - bits
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        text = array.cast(pa.large_binary()).fill_null(b"")
        lengths = _bytes(pc.binary_length(text))
        offsets = memoryview(text.buffers()[1]).cast("q") if text.buffers()[1] else None
        if offsets is None or text.buffers()[2] is None:
            return [missing, lengths]
        first, last = offsets[text.offset], offsets[text.offset + len(text)]
        return [missing, lengths, memoryview(text.buffers()[2])[first:last]]
    return [missing, repr(array.to_pylist()).encode("utf-8", "surrogatepass")]


def _bytes(array: pa.Array) -> memoryview | bytes:
    """The values of a fixed-width array without nulls."""
    if not len(array):
        return b""
    width = array.type.bit_width // 8
    values = memoryview(array.buffers()[1])
    return values[array.offset * width : (array.offset + len(array)) * width]
