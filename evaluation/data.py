"""Rows from wherever they lie, in batches: Parquet, CSV, Delta, a data set that MLflow logged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from evaluation.errors import EvaluationFailed, Impossible
from evaluation.job import Source

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import dataset, fs

BATCH, FEWEST, BYTES, WIDTH = 65_536, 1_024, 16 * 2**20, 64
"""Rows that are in memory at once, of each of a few batches; fewer where they take more bytes than this, and how many
bytes a value is taken to have whose type does not say so."""
FORMATS = ("parquet", "csv", "delta", "mlflow")
MOST_FILES = 10_000
HOLDOUT = "The holdout"


@dataclass(frozen=True)
class Rows:
    """A holdout that can be read from its beginning, again and again."""

    source: Source
    token: str
    """Changes whenever the data may have changed; cheap to ask for."""
    table_version: int | None = None
    named: str = HOLDOUT
    """What sentences about them begin with."""

    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        with _trouble(self.source, self.named):
            return self._dataset().schema

    def count(self) -> int:
        """How many rows there are."""
        with _trouble(self.source, self.named):
            return int(self._dataset().count_rows())

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows in the order of the files. Raises EvaluationFailed where they cannot be read."""
        with _trouble(self.source, self.named):
            source = self._dataset()
            size = _at_once(source.schema)
            for part in _pieces(source):
                yield from part.to_batches(source.schema, columns, batch_size=size, batch_readahead=2)

    def spread(self, most: int) -> Iterator[pa.RecordBatch]:
        """All rows where there are at most `most`, else that many, evenly spread over all of them."""
        import numpy as np
        import pyarrow as pa

        total, before = self.count(), 0
        for batch in self.batches():
            if total > most:
                place = np.arange(before, before + batch.num_rows, dtype=np.int64)
                kept = (place + 1) * most // total > place * most // total
                before += batch.num_rows
                batch = batch.filter(pa.array(kept))  # noqa: PLW2901 - the same rows, fewer
            if batch.num_rows:
                yield batch

    def _dataset(self) -> dataset.Dataset:
        from pyarrow import dataset

        if self.source.format == "delta":
            return _table(self.source).to_pyarrow_dataset()
        system, path = _place(self.source.uri)
        return dataset.dataset(path, filesystem=system, format=self.source.format, exclude_invalid_files=False)


def _pieces(source: dataset.Dataset) -> Iterator[dataset.Fragment]:
    """Row group by row group: a reader of several goes on ahead of a slow model by as much as a gigabyte."""
    for file in source.get_fragments():
        yield from file.split_by_row_group() if hasattr(file, "split_by_row_group") else [file]


def _at_once(schema: pa.Schema) -> int:
    """Rows of a batch: many, which models take less time for, and few where there are many columns."""
    width = sum(_width(field.type) for field in schema)
    return max(min(BATCH, int(BYTES / max(width, 1.0))), FEWEST)


def _width(kind: pa.DataType) -> float:
    """Bytes of a value, and whether it is there."""
    try:
        return float(kind.bit_width + 1) / 8
    except ValueError:
        return WIDTH


def look(source: Source, tracking_uri: str | None, named: str = HOLDOUT) -> Rows:
    """The holdout as it is now, or other rows that sentences name so, without reading any.

    Raises EvaluationFailed where it is not there, Impossible where it is nothing that can be read.
    """
    source = resolved(source, tracking_uri)
    with _trouble(source, named):
        if source.format == "delta":
            table = _table(source)
            version = int(table.version())
            return Rows(replace(source, version=version), f"delta {table.metadata().id} {version}", version, named)
        return Rows(source, _files_token(source, named), named=named)


def resolved(source: Source, tracking_uri: str | None) -> Source:
    """The source with its format; a data set that MLflow logged becomes what it was read from."""
    form = source.format or _format_of(source.uri)
    if form not in FORMATS:
        raise Impossible(f"Data of format {form!r} cannot be read: write one of {', '.join(FORMATS)}.")
    if form == "mlflow":
        return resolved(_logged(source.uri, tracking_uri), tracking_uri)
    if form != "delta" and source.version is not None:
        raise Impossible(f"Only Delta tables have versions, and {source.uri} is read as {form}: leave version out.")
    return replace(source, format=form)


def _format_of(uri: str) -> str:
    if uri.startswith("runs:/"):
        return "mlflow"
    ending = Path(urlsplit(uri).path or uri).suffix.lower()
    if ending in (".csv", ".parquet"):
        return ending[1:]
    local = local_path(uri)
    return "delta" if local is not None and (local / "_delta_log").is_dir() else "parquet"


def local_path(uri: str) -> Path | None:
    """The path of a place on this machine, None for any other."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(uri) if not parts.scheme else None


def _place(uri: str) -> tuple[fs.FileSystem, str]:
    from pyarrow import fs

    local = local_path(uri)
    if local is not None:
        return fs.LocalFileSystem(), str(local.absolute())
    system, path = fs.FileSystem.from_uri(uri)
    return system, path


def _files_token(source: Source, named: str) -> str:
    """Name, size and time of every file."""
    from pyarrow import fs

    system, path = _place(source.uri)
    found = system.get_file_info(path)
    if found.type == fs.FileType.NotFound:
        raise EvaluationFailed(f"{named} {source.uri} is not there: correct its address, or bring it back.")
    files = [found] if found.type == fs.FileType.File else system.get_file_info(fs.FileSelector(path, recursive=True))
    known = sorted((f.path, f.size, f.mtime_ns) for f in files if f.type == fs.FileType.File)
    if len(known) > MOST_FILES:
        raise Impossible(f"{named} {source.uri} has {len(known):,} files: at most {MOST_FILES:,} are read.")
    return json.dumps([source.format, known])


def _table(source: Source) -> Any:
    from deltalake import DeltaTable

    local = local_path(source.uri)
    place = str(local.absolute()) if local is not None else source.uri
    try:
        return DeltaTable(place, version=source.version)
    except Exception as error:
        if source.version is None or (newest := DeltaTable(place).version()) >= source.version:
            raise
        raise EvaluationFailed(
            f"The table {source.uri} has no version {source.version}, its newest is {newest}: correct data.version."
        ) from error


def _logged(uri: str, tracking_uri: str | None) -> Source:
    """What `runs:/RUN/NAME` was read from, as MLflow wrote it down."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    run, _, name = uri.removeprefix("runs:/").partition("/")
    try:
        inputs = MlflowClient(tracking_uri=tracking_uri).get_run(run).inputs.dataset_inputs
    except MlflowException as error:
        raise EvaluationFailed(f"The run {run[:64]} of data.uri cannot be read: {error}") from error
    for logged in inputs:
        if logged.dataset.name == name:
            return source_of(logged.dataset) or _unreadable(uri)
    known = ", ".join(sorted(each.dataset.name for each in inputs)[:5]) or "none"
    raise Impossible(f"The run {run[:64]} logged no data set {name!r}; it logged: {known}.")


def _unreadable(uri: str) -> Source:
    raise Impossible(f"The data set {uri} was not read from a file or a table, so it cannot be read again.")


def source_of(logged: Any) -> Source | None:
    """Where a data set that MLflow logged was read from, None where that is no file and no table."""
    try:
        about = json.loads(logged.source)
    except (TypeError, ValueError):
        return None
    uri = (about.get("uri") or about.get("path") or about.get("url")) if isinstance(about, dict) else None
    if not isinstance(uri, str):
        return None
    if logged.source_type == "delta_table":
        version = about.get("delta_table_version")
        return Source(uri, "delta", version if isinstance(version, int) else None)
    return Source(uri)


class _trouble:  # noqa: N801 - read as a word
    """Turns what readers raise into one sentence; nothing is known about the rows, and no model is at fault."""

    def __init__(self, source: Source, named: str) -> None:
        self._what = f"{named} {source.uri}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, GeneratorExit | EvaluationFailed | Impossible):
            return
        if isinstance(error, Exception) and not isinstance(error, MemoryError):
            said = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            raise EvaluationFailed(f"{self._what} cannot be read: {said}") from error
