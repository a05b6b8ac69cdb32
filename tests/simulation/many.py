"""Many schedules on several processes, and what they reached."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.run import run
from tests.simulation.schedule import generate
from tests.simulation.shrink import shrink
from watcher.reasons import DECIDING
from watcher.values import Verb

PROCESSES = 2
CHUNK = 50


@dataclass
class Summary:
    """What many schedules came to."""

    schedules: int = 0
    wake_ups: int = 0
    seconds: float = 0.0
    coverage: Counter[tuple[str, ...]] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    """Seed -> the problem."""

    def add(self, other: Summary) -> None:
        self.schedules += other.schedules
        self.wake_ups += other.wake_ups
        self.coverage.update(other.coverage)
        self.failures.update(other.failures)


def several(seeds: Iterable[int]) -> Summary:
    """The schedules of these seeds, one after another."""
    summary = Summary()
    for seed in seeds:
        outcome = run(generate(seed))
        summary.schedules += 1
        summary.wake_ups += outcome.wake_ups
        summary.coverage.update(outcome.coverage)
        if outcome.problem is not None:
            summary.failures[seed] = outcome.problem
    return summary


def many(first: int, count: int, most_seconds: float = 1e9, processes: int = PROCESSES) -> Summary:
    """The schedules of `count` seeds from `first` on; fewer where the time does not suffice."""
    began, total = time.monotonic(), Summary()
    chunks = [range(at, min(at + CHUNK, first + count)) for at in range(first, first + count, CHUNK)]
    with ProcessPoolExecutor(processes, get_context("forkserver")) as pool:
        for at in range(0, len(chunks), 4 * processes):
            if time.monotonic() - began > most_seconds:
                break
            for summary in pool.map(several, chunks[at : at + 4 * processes]):
                total.add(summary)
    total.seconds = time.monotonic() - began
    return total


def explain(summary: Summary, most: int = 3) -> str:
    """The failures, each with the command that replays it and its trace, shrunk."""
    return "\n\n".join(_failure(seed) for seed in sorted(summary.failures)[:most])


def _failure(seed: int) -> str:
    schedule = shrink(generate(seed), run)
    outcome = run(schedule, tell=True)
    events = "\n".join(f"    {event}" for event in schedule.events)
    trace = "\n".join(outcome.trace[-60:])
    return f"replay: python -m tests.simulation --seed {seed}\n{events}\n{trace}\n=> {outcome.problem}"


def report(summary: Summary) -> str:
    """What the schedules reached: steps by faults, and reasons."""
    return "\n".join(_report(summary))


WHAT = ("die", "transient", "busy", "conflict", "terminal", "stop")
WHEN = ("before", "after")


def _report(summary: Summary) -> Iterator[str]:
    rate = summary.schedules / summary.seconds if summary.seconds else 0.0
    yield (
        f"{summary.schedules} schedules, {summary.wake_ups} wake-ups, {summary.seconds:.0f} s: {rate:.0f} schedules and"
        f" {summary.wake_ups / summary.seconds if summary.seconds else 0.0:.0f} wake-ups a second"
    )
    heads = [f"{what} {when}" for what in WHAT for when in WHEN]
    yield f"{'step':12} {'taken':>8} " + " ".join(f"{head:>16}" for head in heads)
    for step in ("reading", *(verb for verb in Verb if verb is not Verb.WAIT)):
        cells = [struck(summary, step, what, when) for what in WHAT for when in WHEN]
        taken = summary.coverage["verb", str(step)]
        yield f"{step:12} {taken:>8} " + " ".join(f"{cell:>16}" for cell in cells)
    done = Counter({key[1]: n for key, n in summary.coverage.items() if key[0] == "deed" and not key[2]})
    yield "deeds: " + ", ".join(f"{deed} {n}" for deed, n in sorted(done.items()))
    yield "reasons never given: " + (", ".join(sorted(not_given(summary))) or "none")
    left = {key[1]: n for key, n in summary.coverage.items() if key[0] == "residual"}
    yield "residuals: " + (", ".join(f"{what} {n}" for what, n in sorted(left.items())) or "none")


def struck(summary: Summary, step: str, what: str, when: str) -> int:
    """How often this happened to a process at a call of this step."""
    return sum(
        n
        for key, n in summary.coverage.items()
        if key[0] == "struck" and key[1] == step and key[3] == when and key[4] == what
    )


def not_given(summary: Summary) -> set[str]:
    """Reasons of deciding that no schedule led to."""
    return {reason.code for reason in DECIDING if not summary.coverage["reason", reason.code]}
