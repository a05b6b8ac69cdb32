"""Numbers measured on a version, with where they came from and whether they can be trusted.

MLflow keeps two copies. A logged model's own rows name their data set, but have lost NaN (it reads back as 0.0); a
run's rows keep NaN, but name no data set, and their `latest` is the one of the highest step, not the last one logged.
Both turn infinity into the largest float.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.registry import tracking
from watcher.registry.client import Client
from watcher.registry.errors import Absent
from watcher.values import Metric

if TYPE_CHECKING:
    from mlflow.entities import Metric as LoggedMetric
    from mlflow.entities import Run

MOST = 1_000
"""Metrics of one version that are looked at."""


@dataclass(frozen=True, slots=True)
class Row:
    """One logged number."""

    key: str
    value: float
    at_ms: int
    step: int
    run_id: str | None = None
    dataset: str | None = None
    digest: str | None = None

    @property
    def order(self) -> tuple[int, int, str, str, float]:
        """Sorts rows by when they were logged; the rest only makes the choice the same every time."""
        value = -math.inf if math.isnan(self.value) else self.value
        return self.at_ms, self.step, self.dataset or "", self.digest or "", value


class Metrics:
    """Reads the numbers of one version: its logged model's first, its run's where those are missing."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def of(self, model_id: str | None, run_id: str | None, inline: Sequence[LoggedMetric] = ()) -> Mapping[str, Metric]:
        """By name; `inline` is the registry's own copy, for a logged model that this tracking server does not have."""
        model = tracking.logged_model(self._client, model_id) if model_id else None
        rows = _last_of_each(_model_rows(model.metrics or () if model else inline))
        runs = _Runs(self._client)
        found = {key: self._checked(row, model_id, runs) for key, row in rows.items()}
        home = run_id or (str(model.source_run_id) if model and model.source_run_id else None)
        run = runs.run(home) if home else None
        if run and home:
            for key, row in runs.latest(home).items():
                if key not in found and len(found) < MOST:
                    found[key] = _run_metric(run, row, runs)
        return dict(sorted(found.items()))

    def _checked(self, row: Row, model_id: str | None, runs: _Runs) -> Metric:
        origin = f"logged model {model_id}" if model_id else "the registry's own copy"
        return Metric(row.value, origin, row.dataset, row.digest, _not_finite(row) or _disagrees(row, runs))


class _Runs:
    """Runs and their histories, each read at most once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._runs: dict[str, Run | None] = {}
        self._latest: dict[str, Mapping[str, Row]] = {}
        self._histories: dict[tuple[str, str], Sequence[Row]] = {}

    def run(self, run_id: str) -> Run | None:
        """The run, deleted ones too; None where this tracking server does not have it."""
        if run_id not in self._runs:
            self._runs[run_id] = tracking.run(self._client, run_id)
        return self._runs[run_id]

    def latest(self, run_id: str) -> Mapping[str, Row]:
        """What MLflow calls a run's latest metrics: those of the highest step."""
        if run_id not in self._latest:
            run = self.run(run_id)
            # Its plain mapping has neither step nor time.
            rows = run.data.to_proto().metrics if run else ()
            self._latest[run_id] = {m.key: Row(m.key, m.value, m.timestamp, m.step, run_id) for m in rows}
        return self._latest[run_id]

    def history(self, run_id: str, key: str) -> Sequence[Row]:
        """Every row of one metric of a run."""
        if (run_id, key) not in self._histories:
            try:
                rows = self._client.ask(f"read {key} of run {run_id}", lambda c: c.get_metric_history(run_id, key))
            except Absent:
                rows = []
            self._histories[run_id, key] = [Row(key, m.value, m.timestamp, m.step, run_id) for m in rows]
        return self._histories[run_id, key]


def _model_rows(logged: Iterable[LoggedMetric]) -> Iterable[Row]:
    for m in logged:
        yield Row(
            str(m.key),
            float(m.value),
            int(m.timestamp),
            int(m.step),
            m.run_id or None,
            m.dataset_name or None,
            m.dataset_digest or None,
        )


def _last_of_each(rows: Iterable[Row]) -> Mapping[str, Row]:
    last: dict[str, Row] = {}
    for row in rows:
        if row.key in last or len(last) < MOST:
            last[row.key] = max(last.get(row.key, row), row, key=lambda r: r.order)
    return last


def _not_finite(row: Row) -> str | None:
    if math.isfinite(row.value) and abs(row.value) < sys.float_info.max:
        return None
    return f"`{row.key}` is not a finite number"


def _disagrees(row: Row, runs: _Runs) -> str | None:
    """Why the run of a logged model's row does not confirm it, None where it does."""
    run = runs.run(row.run_id) if row.run_id else None
    if run is None or row.run_id is None:
        unsure = row.value == 0.0
        return f"`{row.key}` reads 0.0, which may stand for NaN, and its run cannot be read" if unsure else None
    latest = runs.latest(row.run_id).get(row.key)
    # 0.0 is asked for in the history every time: it is what a NaN has become.
    if latest is not None and latest.value == row.value != 0.0:
        return None
    same = [r for r in runs.history(row.run_id, row.key) if (r.at_ms, r.step) == (row.at_ms, row.step)]
    if any(r.value == row.value for r in same):
        return None
    if any(math.isnan(r.value) for r in same):
        return f"`{row.key}` was logged as NaN, which the logged model gives back as {row.value!r}"
    said = f"{same[0].value!r} there" if same else "is not there"
    return f"`{row.key}` is {row.value!r} on the logged model and {said} in run {row.run_id}"


def _run_metric(run: Run, row: Row, runs: _Runs) -> Metric:
    run_id = str(run.info.run_id)
    deleted = " (deleted)" if run.info.lifecycle_stage == "deleted" else ""
    dataset, digest = _only_dataset(run)
    return Metric(row.value, f"run {run_id}{deleted}", dataset, digest, _run_problem(run, row, runs, run_id))


def _run_problem(run: Run, row: Row, runs: _Runs, run_id: str) -> str | None:
    if _not_finite(row):
        return _not_finite(row)
    models = len(getattr(run.outputs, "model_outputs", None) or ())
    if models > 1:
        return f"`{row.key}` belongs to run {run_id}, which logged {models} models, not to one of them"
    if row.step > 0:
        # Only then can a number that was logged later be hidden behind one of a higher step.
        last = max(runs.history(run_id, row.key), key=lambda r: r.order, default=row)
        if last.at_ms > row.at_ms and last.value != row.value:
            return (
                f"`{row.key}` is {row.value!r} at step {row.step} of run {run_id}, but {last.value!r} was logged later "
                f"at step {last.step}"
            )
    return None


def _only_dataset(run: Run) -> tuple[str | None, str | None]:
    found = {(str(i.dataset.name), str(i.dataset.digest)) for i in getattr(run.inputs, "dataset_inputs", None) or ()}
    return found.pop() if len(found) == 1 else (None, None)
