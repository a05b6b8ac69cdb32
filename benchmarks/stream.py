"""What a stream's readers notice of swaps: time between two commits, and from a pointer's move to the first commit."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from benchmarks import jobs
from benchmarks.bench import Bench, Figure, Measured, quantile, started, sure, until
from benchmarks.load import CHECKOUT

SWAPS = 20
EVERY = 0.25
"""Seconds between two looks of the stream for new rows."""
FED = 0.05
"""Seconds between two times that rows come: there are always some."""
ROWS = 200


def run(bench: Bench) -> Measured:
    """One stream that is swapped again and again between two models while rows keep coming."""
    folder = bench.fresh("stream")
    pointer, table, scores = folder / "bench.json", folder / "features", folder / "scores"
    models = [jobs.model(bench, number) for number in (1, 2)]
    jobs.grow(table, ROWS)
    jobs.point(pointer, 1, models[0])
    # It runs in the benchmark's folder, and the package is the checkout's.
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(CHECKOUT)!r}); runpy.run_module('scoring', None, '__main__', True)"
    )
    words = ["-c", code, "stream", "--pointer", str(pointer), "--input", str(table), "--output", str(scores)]
    moves: list[tuple[float, int]] = []
    with started([*words, "--every", f"{EVERY:g}"], folder / "log"), _fed(table) as fed:
        until(lambda: (jobs.status(pointer).get("traffic") or {}).get("rows"), "the first row was scored")
        for version in range(2, bench.of(SWAPS, 2) + 2):
            # Not in step with the stream's own looks.
            time.sleep(2 * EVERY + (version * 7 % 10) / 10 * EVERY)
            token = jobs.point(pointer, version, models[version % 2])
            moves.append((time.time(), version))
            until(lambda wanted=token: _applied(pointer, wanted), "the stream followed its pointer")  # type: ignore[misc]
        time.sleep(2 * EVERY)
        fed.set()
        total = _rows(table)
        until(lambda: _rows(scores) == total, "every row was scored")
    commits = _commits(scores)
    calm, across = _intervals(commits)
    waits = [_first(commits, version) - at for at, version in moves]
    interval = statistics.median(calm)
    lost, twice = _reckoned(table, scores)
    sure(len({version for _, version in commits}) == len(moves) + 1, "every version scored rows")
    bench.say(f"{len(commits)} commits, {interval:.2f} s apart; a move took {statistics.median(waits):.2f} s")
    wait, slowest = statistics.median(waits), max(waits)
    told = f"{statistics.median(across):.2f} s across a swap against {interval:.2f} s, {len(moves)} swaps"
    return {
        "stream_wrong": Figure(lost + twice, f"{total:,} rows in, {lost} lost, {twice} twice"),
        "stream_swap": Figure(statistics.median(across) / interval, told),
        "stream_move": Figure(wait - interval, f"{wait:.2f} s less one interval of {interval:.2f} s"),
        "stream_slowest": Figure(slowest - 2 * interval, f"{slowest:.2f} s less two; p90 {quantile(waits, 0.9):.2f} s"),
    }


@contextmanager
def _fed(table: Path) -> Iterator[threading.Event]:
    """Rows keep coming until the event is set."""
    end = threading.Event()

    def feed() -> None:
        first = ROWS
        while not end.wait(FED):
            jobs.grow(table, ROWS, first)
            first += ROWS

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield end
    finally:
        end.set()
        thread.join()


def _applied(pointer: Path, token: str) -> bool:
    told = jobs.status(pointer)
    return (told.get("running") or {}).get("token") == token and (told.get("traffic") or {}).get("rows", 0) > 0


def _rows(table: Path) -> int:
    from deltalake import DeltaTable

    return int(DeltaTable(str(table)).count())


def _commits(scores: Path) -> list[tuple[float, int]]:
    """When each commit landed, by its own log, and with which version, oldest first."""
    from deltalake import DeltaTable

    told = [entry for entry in DeltaTable(str(scores)).history() if "scoring.number" in entry]
    return sorted((entry["timestamp"] / 1_000, int(entry["scoring.number"])) for entry in told)


def _intervals(commits: list[tuple[float, int]]) -> tuple[list[float], list[float]]:
    """Seconds between commits of one version, and between two of different ones."""
    calm: list[float] = []
    across: list[float] = []
    for (before, one), (after, two) in pairwise(commits):
        (calm if one == two else across).append(after - before)
    return calm, across


def _first(commits: list[tuple[float, int]], version: int) -> float:
    return next(at for at, number in commits if number == version)


def _reckoned(table: Path, scores: Path) -> tuple[int, int]:
    from deltalake import DeltaTable

    asked, told = (DeltaTable(str(each)).to_pandas(columns=["id"])["id"] for each in (table, scores))
    return int((~asked.isin(told)).sum()), int(told.duplicated().sum())
