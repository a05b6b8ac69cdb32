"""`python -m tests.simulation --seed 7` replays a schedule, and shrinks it where it fails."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.run import run
from tests.simulation.schedule import Schedule, generate
from tests.simulation.shrink import shrink


def show(schedule: Schedule, out: list[str]) -> str | None:
    """The trace of a schedule as readable lines; its problem."""
    outcome = run(schedule, tell=True)
    out.append(f"setup {schedule.setup}, start {schedule.start}, {'kind' if schedule.kind else 'unkind'} end")
    out += [f"    {event}" for event in schedule.events]
    out += outcome.trace
    out.append(f"=> {outcome.problem or 'no invariant broke'}")
    return outcome.problem


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--whole", action="store_true", help="do not shrink it")
    asked = parser.parse_args()
    schedule = generate(asked.seed)
    if not asked.whole and run(schedule).problem:
        schedule = shrink(schedule, run)
    lines: list[str] = []
    problem = show(schedule, lines)
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if problem else 0


if __name__ == "__main__":
    raise SystemExit(main())
