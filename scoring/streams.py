"""What streams of every engine hold to."""

from __future__ import annotations

import abc
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from scoring.errors import INPUT, OUTPUT, USAGE, VERSION, Stop
from scoring.model import STAMP
from scoring.pointer import Release
from scoring.report import Report, Wrote
from scoring.types import PREDICTION

LAST = 100
"""Micro-batches of which the duration is kept."""
FIRST_LOAD = 600.0
"""Seconds that a stream which ends by itself waits for its version."""
MOST_NOTES = 1_000
"""Commits that are looked through at the start for what was written and not reported."""
LOADING = 0.02
"""Seconds that a micro-batch waits for a version that is being loaded while another one runs."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person says of a stream."""

    pointer: str
    input: str
    output: str
    every: float = 0.5
    """Seconds between two looks for new rows."""
    most: int = 100_000
    """Rows of a micro-batch at most: what is in memory at a time."""
    start: str = "earliest"
    """`earliest`, `latest`, or a version of the input; only where the output says nothing."""
    columns: tuple[str, ...] | None = None
    """Columns of the input that go along; None: all of them."""
    once: bool = False
    """End when everything is scored that is there."""
    begin: bool = False
    """Whether an output that was there and is gone, or another input, is what the person wants."""


Chosen = TypeVar("Chosen", bound=Options)


class Streaming(abc.ABC, Generic[Chosen]):
    """One stream; `run` goes on until it is stopped, or cannot go on."""

    _wrote: Wrote
    """What was written with each release, from before too."""

    def __init__(self, options: Chosen, engine: str) -> None:
        self._options = options
        self._report = Report(options.pointer, "stream", engine, input=options.input, output=options.output)
        self._stop = threading.Event()
        self._took: deque[float] = deque(maxlen=LAST)
        self._token, self._rows_of_token = "", 0

    def stop(self) -> None:
        """End after the micro-batch under way."""
        self._stop.set()

    def run(self) -> None:
        """Raises Stop where it cannot go on; the report says so too."""
        try:
            self._run()
        except Stop as error:
            self._report.fails(error, None, "")
            raise
        finally:
            self._report.end()

    @abc.abstractmethod
    def _run(self) -> None:
        """Score on. Raises Stop."""

    def _count_for(self, token: str) -> None:
        """Figures are of what one move of the pointer brought."""
        if token != self._token:
            self._token, self._rows_of_token = token, 0
            self._took.clear()

    def _wait(self, seconds: float, moved: Callable[[], bool]) -> None:
        """Wait, but no longer than until the pointer is moved."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stop.wait(min(self._options.every, seconds)):
            if moved():
                return

    def _told(self, release: Release, rows: int, commit: int | None, took: float, **about: Any) -> None:
        """Tell of a micro-batch that is written: in this commit, in so many seconds."""
        now = time.time()
        self._took.append(took)
        self._rows_of_token += rows
        first = self._rows_of_token == rows
        if rows:
            self._wrote.add(release.name, release.version, rows, now, commit=commit)
        told = {
            "last": {"at": now, "rows": rows, "release": release.name, "commit": commit},
            "wrote": self._wrote.told,
            "traffic": {"token": self._token, "rows": self._rows_of_token, "p95_ms": 1_000 * _p95(self._took)},
            **about,
        }
        for kind in (VERSION, INPUT, OUTPUT):
            self._report.fine(kind, release.name)
        (self._report.tell if first else self._report.note)(**told)


def kept(uri: str, names: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The columns of an input that go along, all where none are named. Raises Stop where they cannot."""
    keep = list(names if wanted is None else wanted)
    if missing := [name for name in keep if name not in names]:
        raise Stop(USAGE, f"{uri} has no column {', '.join(map(repr, missing))} to pass on.")
    if clash := [name for name in keep if name in STAMP or name.startswith(PREDICTION)]:
        raise Stop(USAGE, f"{uri} has columns that scoring writes ({', '.join(clash)}): choose with --columns.")
    return keep


def refuse_replaced(
    source: str, output: str, before: Mapping[str, Any], source_id: str, output_id: str | None, *, begin: bool
) -> None:
    """Raises Stop where what an earlier stream read or wrote is not there any more: beginning anew is an order."""
    told = before if before.get("kind") == "stream" else {}
    if begin:
        return
    if told.get("output") == output and told.get("output_id") not in (None, output_id):
        raise Stop(
            OUTPUT,
            f"The output table {output} was deleted or replaced since the stream last wrote into it."
            " Restore it, or start again with --begin to score the input into a new one.",
        )
    if told.get("input") == source and told.get("input_id") not in (None, source_id):
        raise Stop(
            INPUT,
            f"{source} is another table than the stream last read there; start again with --begin to"
            " score the new one.",
        )


def already(
    before: Mapping[str, Any], output_id: str | None, notes: Callable[[int], Iterable[Mapping[str, Any]]]
) -> tuple[Wrote, Mapping[str, Any] | None]:
    """What each release wrote, and the last commit: as it was reported, and what was committed after that.

    `notes`: of our own commits above a version, oldest first, with `version`, `timestamp` (ms), `release`, `number` and
    `rows`. The two belong together: whoever reports the one without the other counts commits again after a crash.
    """
    told = before if output_id is not None and before.get("output_id") == output_id else {}
    wrote, last = Wrote(told.get("wrote")), told.get("last")
    known = isinstance(last, Mapping) and isinstance(last.get("commit"), int)
    if not known:
        wrote, last = Wrote(None), None
    for note in notes(int(last["commit"]) if last is not None else -1):
        at, rows, commit = note["timestamp"] / 1_000, int(note["rows"]), int(note["version"])
        wrote.add(note["release"], int(note["number"]), rows, at, commit=commit)
        last = {"at": at, "rows": rows, "release": note["release"], "commit": commit}
    return wrote, last


def _p95(took: Sequence[float]) -> float:
    """Of durations, at least one."""
    return statistics.quantiles(took, n=20)[-1] if len(took) > 1 else took[0]
