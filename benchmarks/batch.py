"""A batch run against pandas in one process on the same rows, and how its memory grows with them."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from pathlib import Path

from benchmarks import jobs
from benchmarks.bench import Bench, BenchError, Measured, median_figure, sure, told_by

ROWS = 20_000_000
FEWER = 4
"""The memory of a run over this share of the rows is what the whole is held against."""
MIB = 1024.0


def run(bench: Bench) -> Measured:
    """A round: one run of each, in turn, each in a process of its own that is told how long the scoring itself took."""
    many, few = bench.of(ROWS, 4_000), bench.of(ROWS, 4_000) // FEWER
    tables = {rows: bench.fresh("features") / "table" for rows in (many, few)}
    for rows, table in tables.items():
        jobs.grow(table, rows)
    pointer = bench.fresh("pointer") / "bench.json"
    jobs.point(pointer, 1, jobs.model(bench, 1))
    ratios, growth, told = [], [], []
    for _ in range(bench.rounds):
        batch, memory = _measured(bench, "batch", tables[many], pointer)
        pandas, _ = _measured(bench, "pandas", tables[many], pointer)
        _, before = _measured(bench, "batch", tables[few], pointer)
        ratios.append(batch / pandas)
        growth.append((memory - before) / MIB)
        told.append((batch, pandas, memory / MIB))
        bench.say(f"batch {batch:.1f} s, pandas {pandas:.1f} s; {memory / MIB:.0f} MiB, {before / MIB:.0f} before")
    middle = sorted(told)[len(told) // 2]
    words = f"{middle[0]:.1f} s against {middle[1]:.1f} s for {many:,} rows"
    peak = statistics.median(peak for *_, peak in told)
    more = f"{min(growth):.0f} to {max(growth):.0f} MiB more"
    held = f"{peak:.0f} MiB with {many:,} rows against {few:,}; {more}"
    return {"batch_cost": median_figure(ratios, words), "batch_memory": median_figure(growth, held)}


def _measured(bench: Bench, how: str, table: Path, pointer: Path) -> tuple[float, float]:
    """Seconds from the first row to the last file, and the process's largest resident memory in KiB."""
    out = bench.fresh(how)
    told = told_by("benchmarks.batch", how, str(table), str(pointer), str(out / "made"))
    seconds, memory, rows = told.split()[-3:]
    sure(int(rows) > 0, "rows were scored")
    return float(seconds), float(memory)


def batch(table: str, pointer: str, out: str) -> int:
    """One run of the job, as `python -m scoring batch` makes it; its rows."""
    from scoring.delta.batch import Options
    from scoring.delta.batch import run as run_job

    return run_job(Options(pointer, table, out))[0].rows


def pandas(table: str, pointer: str, out: str) -> int:
    """What a person would write by hand: the whole table in memory, one `predict`, one file."""
    from deltalake import DeltaTable
    from mlflow import pyfunc

    from scoring import pointer as pointers

    found = pointers.read(pointer)
    if found is None or found.live is None:
        raise BenchError("no pointer")
    model = pyfunc.load_model(found.live.uri, suppress_warnings=True)
    rows = DeltaTable(table).to_pandas()
    rows["prediction"] = model.predict(rows[jobs.names()])
    Path(out).mkdir()
    rows.to_parquet(Path(out) / "all.parquet")
    return len(rows)


if __name__ == "__main__":
    import sklearn.linear_model  # noqa: F401 neither side is charged for imports

    began = time.monotonic()
    made = {"batch": batch, "pandas": pandas}[sys.argv[1]](*sys.argv[2:5])
    print(time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, made)
