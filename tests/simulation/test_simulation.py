"""Seeded schedules of crashes, races, faults and people over the whole product; see docs/simulation.md."""

from __future__ import annotations

import os

import pytest

from tests.simulation.deeds import DEEDS
from tests.simulation.many import WHAT, WHEN, Summary, explain, many, not_given, report, several, struck
from tests.simulation.run import run
from tests.simulation.schedule import generate
from watcher.values import Verb

SLICE = 300
RARE = (706, 989, 1181, 1_007_262, 1_009_896)
"""Seeds beyond the slice in which something strikes a mirror, or an overtaken worker writes a verdict late."""
LONG = 100_000
LONGEST = 900.0
"""Seconds that the long run may take; it ends there with the schedules it got through."""
BASE = "WATCHER_SIMULATION_SEED"
NEVER = {
    "analysis_disagreement": "no setup bounds it: tests/loop/test_mirroring.py",
    "cannot_mirror": "every endpoint of a setup can: tests/loop/test_mirroring.py",
    "deadline_too_short": "a host's limit, and these processes have none: tests/loop/test_workers.py",
    "probing": "no probe goes on over several wake-ups: tests/loop/test_nothing_sticks.py",
    "target_left": "the settings of a setup stay as they are: tests/loop/test_nothing_sticks.py",
    "target_moving": "weights of a setup are in force at once: tests/loop/test_slow_targets.py",
}
"""Reasons of deciding that no schedule can lead to, with why not, and where they are given."""


@pytest.fixture(scope="module")
def summary() -> Summary:
    summary = many(0, SLICE)
    summary.add(several(RARE))
    return summary


def test_no_invariant_breaks_and_everything_comes_to_rest(summary: Summary) -> None:
    assert not summary.failures, explain(summary)


def test_every_verb_is_taken_and_struck(summary: Summary) -> None:
    for verb in Verb:
        if verb is not Verb.WAIT:
            assert summary.coverage["verb", str(verb)], report(summary)
            assert sum(struck(summary, str(verb), what, when) for what in WHAT for when in WHEN), report(summary)


@pytest.mark.parametrize("seed", range(5))
def test_a_schedule_replays_exactly(seed: int) -> None:
    first, second = run(generate(seed), tell=True), run(generate(seed), tell=True)
    assert first.trace == second.trace
    assert first.coverage == second.coverage


@pytest.mark.long
def test_many_schedules_break_nothing_and_reach_everything(capsys: pytest.CaptureFixture[str]) -> None:
    base = int(os.environ.get(BASE, "0"))
    summary = many(1_000_000 + base, LONG, LONGEST)
    with capsys.disabled():
        print(f"\n{report(summary)}")  # noqa: T201 an empty simulation has to show
    assert not summary.failures, explain(summary)
    done = {key[1] for key in summary.coverage if key[0] == "deed" and not key[2]}
    assert done == set(DEEDS), report(summary)
    assert not_given(summary) <= set(NEVER), report(summary)
    for verb in Verb:
        if verb is not Verb.WAIT:
            for what in WHAT:
                for when in WHEN:
                    assert struck(summary, str(verb), what, when), f"{what} {when} {verb}\n{report(summary)}"
