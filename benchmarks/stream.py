"""What a stream's readers notice of swaps: time between two commits, and from a pointer's move to the first commit."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import jobs
from benchmarks.bench import Bench, Figure, Measured, quantile, started, sure, until
from benchmarks.load import CHECKOUT

SWAPS = 20
EVERY = 0.25
"""Seconds between two looks of the stream for new rows."""
FED = 0.05
"""Seconds between two times that rows come: there are always some."""
ROWS = 200
STARTS = 300.0
"""Seconds until a stream must score; a Spark of its own takes long to start."""
WARM = 12
"""Micro-batches of a process before a pointer is moved. The first ones of a Spark take twice as long as those to come:
its code is not compiled yet, and there is more to score than comes in."""


@dataclass(frozen=True, slots=True)
class _World:
    """One stream of one engine, its pointer, input and output."""

    folder: Path
    engine: str

    @property
    def pointer(self) -> Path:
        return self.folder / "bench.json"

    @property
    def features(self) -> Path:
        return self.folder / "features"

    @property
    def scores(self) -> Path:
        return self.folder / "scores"

    @property
    def deadly(self) -> Path:
        """Where this file is, the stream is killed right after its next commit."""
        return self.folder / "deadly"

    @property
    def words(self) -> list[str]:
        """The stream's process: it runs in the benchmark's folder, and the packages are the checkout's."""
        code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); from benchmarks import stream; stream.job()"
        words = ["-c", code, str(self.deadly), "stream", "--engine", self.engine, "--pointer", str(self.pointer)]
        words += ["--input", str(self.features), "--output", str(self.scores)]
        return [*words, "--every", f"{EVERY:g}"]


def run(bench: Bench) -> Measured:
    """One stream that is swapped again and again between two models while rows keep coming."""
    return _measured(bench, "delta", "stream")


def run_on_spark(bench: Bench) -> Measured:
    """The same stream on Spark."""
    return _measured(bench, "spark", "spark_stream")


def _measured(bench: Bench, engine: str, key: str) -> Measured:
    world = _World(bench.fresh("stream"), engine)
    models = [jobs.model(bench, number) for number in (1, 2)]
    jobs.grow(world.features, ROWS)
    jobs.point(world.pointer, 1, models[0])
    swaps = bench.of(SWAPS, 2)
    half, warm = swaps // 2 + 2, bench.of(WARM, 1)
    with _fed(world.features) as no_more:
        with _running(world, warm) as process:
            moves = [_moved(world, version, models[version % 2]) for version in range(2, half)]
            world.deadly.touch()
            until(lambda: process.poll() is not None, "the crash after a commit")
            crashed = time.time()
            world.deadly.unlink()
        with _running(world, warm):
            moves += [_moved(world, version, models[version % 2]) for version in range(half, swaps + 2)]
            time.sleep(2 * EVERY)
            no_more()
            total = _rows(world.features)
            until(lambda: _rows(world.scores) == total, "every row was scored")
    commits = _commits(world.scores)
    calm, across = _intervals(commits, crashed, warm)
    waits = [_first(commits, version) - at for at, version in moves]
    interval = statistics.median(calm)
    lost, twice = _reckoned(world.features, world.scores)
    sure(len({version for _, version in commits}) == len(moves) + 1, "every version scored rows")
    cold = max(after - before for (before, _), (after, _) in pairwise(commits[: max(warm, 2)]))
    bench.say(f"{len(commits)} commits, {interval:.2f} s apart; a move took {statistics.median(waits):.2f} s")
    wait, slowest = statistics.median(waits), max(waits)
    latest = (
        f"{slowest:.2f} s less two; p90 {quantile(waits, 0.9):.2f} s; at the start an interval took up to {cold:.2f} s"
    )
    told = f"{statistics.median(across):.2f} s across a swap against {interval:.2f} s, {len(moves)} swaps"
    return {
        f"{key}_wrong": Figure(lost + twice, f"{total:,} rows in, {lost} lost, {twice} twice, a crash after a commit"),
        f"{key}_swap": Figure(statistics.median(across) / interval, told),
        f"{key}_move": Figure(wait - interval, f"{wait:.2f} s less one interval of {interval:.2f} s"),
        f"{key}_slowest": Figure(slowest - 2 * interval, latest),
    }


def job() -> None:
    """The stream's process. Where the file is there that the first word names, it is killed right after a commit."""
    from scoring import __main__ as scoring
    from scoring.streams import Streaming

    deadly, told = Path(sys.argv[1]), Streaming._told  # noqa: SLF001 that is what follows a commit in both engines

    def dying(*given: Any, **about: Any) -> None:
        if deadly.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        told(*given, **about)

    Streaming._told = dying  # type: ignore[method-assign]  # noqa: SLF001
    sys.exit(scoring.main(sys.argv[2:]))


@contextmanager
def _running(world: _World, warm: int) -> Iterator[subprocess.Popen[bytes]]:
    """The stream, once it has scored so many micro-batches."""
    before = len(_commits(world.scores)) if world.scores.exists() else 0

    def scores() -> bool:
        told = jobs.status(world.pointer)
        return told.get("pid") == process.pid and bool((told.get("traffic") or {}).get("rows"))

    with started(world.words, world.folder / "log") as process:
        until(scores, "the stream scored", patience=STARTS)
        until(lambda: len(_commits(world.scores)) >= before + warm, "the stream was warm", EVERY, STARTS)
        yield process


def _moved(world: _World, version: int, model: Path) -> tuple[float, int]:
    """Move the pointer, and wait until rows are scored with the version; when it was moved, and the version."""
    # Not in step with the stream's own looks.
    time.sleep(2 * EVERY + (version * 7 % 10) / 10 * EVERY)
    token = jobs.point(world.pointer, version, model)
    at = time.time()
    until(lambda: _applied(world.pointer, token), "the stream followed its pointer")
    return at, version


@contextmanager
def _fed(table: Path) -> Iterator[Callable[[], None]]:
    """Rows keep coming until what is given is called; once it returns none comes."""
    end = threading.Event()

    def feed() -> None:
        first = ROWS
        while not end.wait(FED):
            jobs.grow(table, ROWS, first)
            first += ROWS

    def no_more() -> None:
        end.set()
        thread.join()

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield no_more
    finally:
        no_more()


def _applied(pointer: Path, token: str) -> bool:
    told = jobs.status(pointer)
    return (told.get("running") or {}).get("token") == token and (told.get("traffic") or {}).get("rows", 0) > 0


def _rows(table: Path) -> int:
    from deltalake import DeltaTable

    return int(DeltaTable(str(table)).count())


def _commits(scores: Path) -> list[tuple[float, int]]:
    """When each commit landed, by its own log, and with which version, oldest first."""
    from deltalake import DeltaTable

    told = [(entry["timestamp"] / 1_000, _number(entry)) for entry in DeltaTable(str(scores)).history()]
    return sorted((at, number) for at, number in told if number is not None)


def _number(entry: Mapping[str, Any]) -> int | None:
    """The version that a commit's rows were scored with, as either engine notes it; None where it has none."""
    found = entry.get("scoring.number") or json.loads(entry.get("userMetadata") or "{}").get("number")
    return int(found) if found is not None else None


def _intervals(commits: list[tuple[float, int]], crashed: float, warm: int) -> tuple[list[float], list[float]]:
    """Seconds between commits of one version, and between two of different ones, of either process once it was warm."""
    calm: list[float] = []
    across: list[float] = []
    for process in ([c for c in commits if c[0] <= crashed], [c for c in commits if c[0] > crashed]):
        for (before, one), (after, two) in pairwise(process[warm - 1 :]):
            (calm if one == two else across).append(after - before)
    return calm, across


def _first(commits: list[tuple[float, int]], version: int) -> float:
    return next(at for at, number in commits if number == version)


def _reckoned(table: Path, scores: Path) -> tuple[int, int]:
    from deltalake import DeltaTable

    asked, told = (DeltaTable(str(each)).to_pandas(columns=["id"])["id"] for each in (table, scores))
    return int((~asked.isin(told)).sum()), int(told.duplicated().sum())
