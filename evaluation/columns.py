"""Columns of a Parquet file as arrays that lie in a file of their own: the system takes their memory back at need."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Array = npt.NDArray[np.generic]
    Take = Callable[[slice], Array]


def mapped(folder: Path, rows: int, kind: np.dtype[Any], *more: int) -> Array:
    """(rows, *more) to write to, in a file of this folder that nobody else can find; gone with the array.

    Raises OSError where the disk is too full: writing to a mapped file that has no room would end the process.
    """
    import numpy as np

    shape = (rows, *more)
    if not math.prod(shape):
        return np.empty(shape, kind)
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, kind.itemsize * math.prod(shape))
        return np.memmap(file, kind, "r+", shape=shape)


class Columns:
    """The columns of one file, each read when it is asked for, a few rows at a time."""

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        self._path = path
        about = parquet.ParquetFile(path)
        self.rows, self.schema = int(about.metadata.num_rows), about.schema_arrow

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    def batches(self, name: str) -> Iterator[pa.Array]:
        """One column in the order of the rows."""
        import pyarrow as pa
        from pyarrow import parquet

        from evaluation.statistics import BLOCK

        # Buffering ahead would hold the whole column in memory until the file is closed.
        with parquet.ParquetFile(self._path, pre_buffer=False) as file:
            for batch in file.iter_batches(BLOCK, columns=[name], use_threads=False):
                column = batch.column(0)
                yield column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column

    def __getitem__(self, name: str) -> Array:
        """(n,) of numbers, booleans or text; objects where some are missing or of another kind."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        kind: Any = self.schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        known = text or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        missing = longest = 0
        for part in self.batches(name):
            missing += part.null_count
            longest = max(longest, pc.max(pc.utf8_length(part)).as_py() or 0) if text else 0
        if missing or not known:
            return np.asarray(pa.chunked_array(self.batches(name)).to_numpy())
        found = self.space(self.rows, np.dtype(f"U{max(longest, 1)}" if text else kind.to_pandas_dtype()))
        at = 0
        for part in self.batches(name):
            found[at : at + len(part)] = part.to_numpy(zero_copy_only=False)
            at += len(part)
        return found

    def space(self, rows: int, kind: np.dtype[Any], *more: int) -> Array:
        """(rows, *more) to write to, in a file beside this one."""
        return mapped(self._path.parent, rows, kind, *more)

    def made(self, rows: int, kind: np.dtype[Any], of: Take, *more: int) -> Array:
        """(rows, *more) that `of` makes, a few rows at a time."""
        from evaluation.statistics import parts

        found = self.space(rows, kind, *more)
        for part in parts(rows):
            found[part] = of(part)
        return found
