"""One pinned version, loaded once: rows in by name, columns of an explicit type out. Both engines score with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoring import types
from scoring.errors import VERSION, Stop, sentence
from scoring.pointer import Release

STAMP: Mapping[str, str] = {
    "model_name": "the registered model",
    "model_version": "its version, a whole number",
    "scored_at": "when the batch of this row was scored, in UTC",
}
"""What every scored row carries beside the answer."""
NAME, NUMBER, AT = STAMP


@dataclass
class Scorer:
    """A loaded model. `answers`: output column -> Arrow type; fixed by the first rows where the signature has none."""

    release: Release
    model: Any
    columns: dict[str, tuple[str, bool]]
    """Input column -> MLflow's name of its type (empty: not one value), and whether it must be there."""
    answers: dict[str, Any] | None

    def missing(self, schema: Any) -> list[str]:
        """Why a table of this Arrow schema cannot be scored: one phrase for each column, none where it can."""
        said = []
        for name, (kind, required) in self.columns.items():
            index = schema.get_field_index(name)
            if index < 0:
                said += [f"there is no column {name!r}"] if required else []
            elif kind and not types.takes(kind, schema.field(index).type):
                said.append(f"column {name!r} is {schema.field(index).type}, and the version wants {kind}")
        return said

    def refuse_unfit(self, schema: Any) -> None:
        """Raises Stop where a table of this schema cannot be scored."""
        if said := self.missing(schema):
            raise Stop(VERSION, f"v{self.release.version} does not fit the input: {'; '.join(said[:5])}")

    def score(self, table: Any) -> dict[str, Any]:
        """The answers to an Arrow table or batch, as Arrow arrays of its length. Raises Stop where the model raises."""
        import pyarrow as pa

        wanted = [name for name in self.columns if table.schema.get_field_index(name) >= 0]
        kinds = types.plain_types()
        arrays = []
        for name in wanted:
            column, kind = table.column(name), kinds.get(self.columns[name][0])
            arrays.append(column if kind is None or column.type == kind else column.cast(kind))
        frame = pa.Table.from_arrays(arrays, names=wanted).to_pandas()
        try:
            found = self.model.predict(frame)
        except Exception as error:
            raise Stop(VERSION, f"v{self.release.version} cannot score: {sentence(error)}") from error
        return self._typed(found, table.num_rows)

    def _typed(self, found: Any, rows: int) -> dict[str, Any]:
        import pyarrow as pa

        named = _named(found, self.answers)
        try:
            told = {name: pa.array(values, from_pandas=True) for name, values in named.items()}
            if self.answers is None:
                self.answers = {name: array.type for name, array in told.items()}
            if told.keys() != self.answers.keys():
                raise Stop(VERSION, f"it answered {', '.join(told)} and not {', '.join(self.answers)}")
            typed = {name: array.cast(self.answers[name]) for name, array in told.items()}
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise Stop(
                VERSION, f"v{self.release.version} answers what its column cannot hold: {sentence(error)}"
            ) from error
        for array in typed.values():
            if len(array) != rows:
                raise Stop(VERSION, f"v{self.release.version} gave {len(array)} answers to {rows} rows")
        return typed

    def stamped(self, table: Any, at_us: int, keep: list[str] | None = None) -> Any:
        """The table's columns (`keep`: only these), the answers, and which version gave them when (µs, UTC)."""
        import pyarrow as pa

        kept = table if keep is None else table.select(keep)
        columns = {name: kept.column(name) for name in kept.column_names}
        rows = table.num_rows
        columns |= self.score(table)
        columns[NAME] = pa.repeat(pa.scalar(self.release.model), rows)
        columns[NUMBER] = pa.repeat(pa.scalar(self.release.version, pa.int64()), rows)
        columns[AT] = pa.repeat(pa.scalar(at_us, pa.timestamp("us", "UTC")), rows)
        return pa.table(columns)

    def answered_schema(self, schema: Any, keep: list[str]) -> Any:
        """The schema of a table's columns (`keep`: only these) and the answers, which must be known."""
        import pyarrow as pa

        answers = [pa.field(name, kind) for name, kind in (self.answers or {}).items()]
        return pa.schema([*(schema.field(name) for name in keep), *answers])

    def out_schema(self, schema: Any, keep: list[str]) -> Any:
        """The schema of what `stamped` gives; the answers must be known."""
        import pyarrow as pa

        stamp = [(NAME, pa.string()), (NUMBER, pa.int64()), (AT, pa.timestamp("us", "UTC"))]
        return pa.schema([*self.answered_schema(schema, keep), *(pa.field(name, kind) for name, kind in stamp)])


def load(release: Release) -> Scorer:
    """Load a pinned version. Raises Stop with what its code or its storage raised."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    try:
        from mlflow import pyfunc

        model = pyfunc.load_model(release.uri, suppress_warnings=True)
        signature = model.metadata.signature
    except Exception as error:
        raise Stop(VERSION, f"v{release.version} cannot be loaded: {sentence(error)}") from error
    try:
        return Scorer(release, model, _columns(signature), types.answers(signature))
    except Stop as error:
        raise Stop(VERSION, f"v{release.version} cannot be used in a job: {error}") from error


def _columns(signature: Any) -> dict[str, tuple[str, bool]]:
    schema = signature.inputs if signature is not None else None
    if schema is None:
        raise Stop(VERSION, "it has no signature, so nobody knows which columns it takes; log it with one")
    if not schema.has_input_names():
        raise Stop(VERSION, "its signature names no columns, and columns go by name; log it with a DataFrame")
    return {spec.name: (getattr(spec.type, "name", ""), spec.required) for spec in _specs(schema)}


def _specs(schema: Any) -> list[Any]:
    if schema.is_tensor_spec():
        raise Stop(VERSION, "its signature takes tensors, and a table has columns; log it with a DataFrame")
    return list(schema.inputs)


def _named(found: Any, answers: dict[str, Any] | None) -> dict[str, Any]:
    """What `predict` gave, as output column -> values."""
    import numpy as np
    import pandas as pd

    single = types.PREDICTION
    if isinstance(found, pd.DataFrame):
        if len(found.columns) == 1:
            return {single: found.iloc[:, 0]}
        return {f"{single}_{name}": found[name] for name in found.columns}
    if isinstance(found, dict):
        return (
            {f"{single}_{name}": values for name, values in found.items()}
            if len(found) > 1
            else {single: next(iter(found.values()))}
        )
    if isinstance(found, np.ndarray) and found.ndim > 1:
        flat = found.reshape(len(found), -1)
        if answers is not None and len(answers) > 1 and flat.shape[1] == len(answers):
            return {name: flat[:, number] for number, name in enumerate(answers)}
        return {single: flat[:, 0] if flat.shape[1] == 1 else list(flat)}
    return {single: found}
