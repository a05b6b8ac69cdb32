"""The rows of the table: what is measured, by which benchmark, and what it must reach."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.bench import Bench, Figure, Measured


def _later(module: str, function: str = "run") -> Callable[[Bench], Measured]:
    """A benchmark whose module is imported when it runs: no environment has what all of them need."""

    def run(bench: Bench) -> Measured:
        measured: Measured = getattr(importlib.import_module(f"benchmarks.{module}"), function)(bench)
        return measured

    return run


BENCHMARKS: dict[str, Callable[[Bench], Measured]] = {
    "idle_poll": _later("idle_poll"),
    "changed_poll": _later("changed_poll"),
    "wake_up": _later("wake_up"),
    "serving_memory": _later("serving_memory"),
    "gateway_cost": _later("gateway_cost"),
    "serving_cost": _later("serving_cost"),
    "mirroring": _later("mirroring"),
    "swaps": _later("swaps"),
    "watcher_memory": _later("watcher_memory"),
    "winners": _later("winners"),
    "history": _later("history"),
    "false_wins": _later("false_wins"),
    "looks": _later("looks"),
    "power": _later("power"),
    "statistics": _later("statistics_cost"),
    "evaluating": _later("evaluating"),
    "evaluating_memory": _later("evaluating", "run_memory"),
    "batch": _later("batch"),
    "stream": _later("stream"),
}
"""By the name that `--only` takes, in the order in which they run."""
ELSEWHERE: dict[str, Callable[[Bench], Measured]] = {
    "azureml": _later("azureml"),
    "spark": _later("spark"),
    "spark_stream": _later("stream", "run_on_spark"),
}
"""The same, each in an environment of its own: `make bench-azureml`, `make bench-spark`."""


@dataclass(frozen=True)
class Row:
    """One line of the table. The number must be at most `most`, or at least `least`."""

    key: str
    benchmark: str
    what: str
    unit: str
    """Put behind the number; `{:g}` of it reads as a whole."""
    most: float | None = None
    least: float | None = None

    @property
    def goal(self) -> str:
        """What it must reach."""
        if self.most is not None:
            return f"{'≤ ' if self.most else ''}{self._said(self.most)}"
        return f"≥ {self._said(self.least or 0.0)}"

    def is_met(self, value: float) -> bool:
        return value <= self.most if self.most is not None else value >= (self.least or 0.0)

    def measured(self, value: float) -> str:
        return self._said(value)

    def _said(self, value: float) -> str:
        digits = 0 if value == int(value) or value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3  # noqa: PLR2004
        return f"{value:,.{digits}f}{self.unit}"


ROWS: Sequence[Row] = (
    Row("idle_calls", "idle_poll", "registry calls of a poll while nothing happens", "", most=1),
    Row("idle_cpu", "idle_poll", "server CPU of asking for each model, over that of a poll", "×", least=1_000),
    Row("changed_calls", "changed_poll", "calls of a poll with 5 changed models, beside their verdicts'", "", most=7),
    Row("changed_size", "changed_poll", "calls more in a registry of 1,000 models than in one of 100", "", most=0),
    Row("wake_up", "wake_up", "wake-up to first answer, over a cold `mlflow models serve`", "×", most=0.05),
    Row("memory", "serving_memory", "memory of each of 3 releases, over one `mlflow models serve`", "×", most=0.3),
    Row("gateway_p50", "gateway_cost", "p50 through the gateway, over the worker asked directly", "×", most=1.15),
    Row("gateway_rate", "gateway_cost", "throughput at 8 connections, over the worker's", "×", least=0.85),
    Row("serving_p50", "serving_cost", "p50 of gateway and worker, over `mlflow models serve`", "×", most=0.6),
    Row("serving_rate", "serving_cost", "throughput at 8 connections, over `mlflow models serve`", "×", least=1.6),
    Row("serving_different", "serving_cost", "answers that differ from those of `mlflow models serve`", "", most=0),
    Row("mirror_p50", "mirroring", "p50 while 20 % of the requests are mirrored, over p50 without", "×", most=1.15),
    Row("mirror_p99", "mirroring", "p99 while 20 % of the requests are mirrored, over p99 without", "×", most=1.5),
    Row("swaps_failed", "swaps", "failed requests in 20 swaps at half the capacity", "", most=0),
    Row("swaps_p99", "swaps", "p99 during swaps, over p99 without", "×", most=3),
    Row(
        "watcher_memory",
        "watcher_memory",
        "a watcher of 1,000 idle models, over importing MlflowClient",
        " MB",
        most=60,
    ),
    Row("watcher_growth", "watcher_memory", "its growth over 10,000 ticks", " MB", most=5),
    Row("winners_cpu", "winners", "own CPU of the slowest wake-up, 50 winners among 1,000 models", " ms", most=50),
    Row("winners_waited", "winners", "models of these that waited on another", "", most=0),
    Row("history", "history", "what was live at a moment, and why, in 1,000,000 lines", " ms", most=50),
    Row("false_wins", "false_wins", "kinds of equals, of 8, of which more than 5 % win, beyond chance", "", most=0),
    Row(
        "false_wins_unlike",
        "false_wins",
        "the same where the two err in different ways, one rarely and far",
        "",
        most=0,
    ),
    Row("looks", "looks", "holdouts with a false win anywhere in 50 looks", " %", most=5),
    Row("power", "power", "real gains won at the first look, over those that the best test finds", "×", least=0.8),
    Row("statistics", "statistics", "CPU of paired t, McNemar, DeLong and bootstrap on 1,000,000 rows", " s", most=2),
    Row(
        "evaluating",
        "evaluating",
        "evaluating two models of 800 trees on 1,000,000 rows, over their own predictions",
        "×",
        most=1.2,
    ),
    Row("evaluating_memory", "evaluating_memory", "its memory with ten times the rows, over that", " MB", most=32),
    Row(
        "azureml_calls",
        "azureml",
        "control-plane calls of a wake-up for each Azure ML target that launches",
        "",
        most=2,
    ),
    Row("azureml_canary_calls", "azureml", "the same for one in its canary, with Azure Monitor's", "", most=2),
    Row("azureml_seconds", "azureml", "a wake-up that observes 20 of them, at 50 ms a call", " s", most=3),
    Row("azureml_memory", "azureml", "its memory on mlflow-skinny, over importing the SDKs alone", "×", most=1.2),
    Row("batch_cost", "batch", "batch run of 20,000,000 rows, over pandas in one process", "×", most=1.2),
    Row("batch_memory", "batch", "its memory, over that of a quarter of the rows", " MiB", most=64),
    Row("stream_wrong", "stream", "rows lost or scored twice in 20 swaps of a stream", "", most=0),
    Row("stream_swap", "stream", "time between two commits across a swap, over the usual", "×", most=1.2),
    Row("stream_move", "stream", "pointer moved to first commit, beyond one micro-batch", " s", most=1),
    Row("stream_slowest", "stream", "the slowest of these, beyond two micro-batches", " s", most=1),
    Row("spark_ridge", "spark", "batch run on Spark, 2,000,000 rows, over a bare mapInPandas", "×", most=1.1),
    Row("spark_ridge_udf", "spark", "MLflow's spark_udf as it is by default, over that run", "×", least=2.2),
    Row("spark_boosted", "spark", "the same with gradient boosting, 1,000,000 rows", "×", most=1.1),
    Row("spark_boosted_udf", "spark", "MLflow's spark_udf as it is by default, over that run", "×", least=1.6),
    Row("spark_stream_wrong", "spark_stream", "rows lost or scored twice in 20 swaps of a stream on Spark", "", most=0),
    Row("spark_stream_swap", "spark_stream", "time between two commits across a swap, over the usual", "×", most=1.2),
    Row("spark_stream_move", "spark_stream", "pointer moved to first commit, beyond one micro-batch", " s", most=1),
    Row("spark_stream_slowest", "spark_stream", "the slowest of these, beyond two micro-batches", " s", most=1),
)
HEADS = ("what", "measured", "must reach", "met", "in numbers")


@dataclass(frozen=True)
class Told:
    """One line as it is shown."""

    row: Row
    figure: Figure

    @property
    def met(self) -> bool:
        return self.row.is_met(self.figure.value)

    @property
    def cells(self) -> tuple[str, ...]:
        measured = self.row.measured(self.figure.value)
        return self.row.what, measured, self.row.goal, "yes" if self.met else "no", self.figure.told


def told(measured: Measured) -> list[Told]:
    """The rows there are figures for, in their order."""
    return [Told(row, measured[row.key]) for row in ROWS if row.key in measured]


def text(lines: Iterable[Told]) -> str:
    """A table for a terminal."""
    rows = [HEADS, *(line.cells for line in lines)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADS) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def markdown(lines: Iterable[Told]) -> str:
    """The same for a page."""
    rows = [HEADS, tuple("---" for _ in HEADS), *(line.cells for line in lines)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
