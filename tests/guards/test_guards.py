"""Guards of what decides are there for an invariant: without one of them the suite on fakes notices."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.guards.find import ROOT, guards, of_source, without
from tests.guards.reasons import REASONS
from tests.guards.suite import STORY, kind
from tests.guards.trying import tried
from tests.guards.witnesses import spread, unlisted, witnesses

SLICE = 4
"""Every so many guards one is taken out in the normal run."""

SMALL = """
CHAIN: tuple[Rule, ...] = (first, second)

def decide(world, low):
    if world is None or world.gone:
        return None
    if world.young:
        world = world.older()
    ready = world.ready and world.weight == 100
    name = world.name or "nobody"
    return [x for x in world.targets if x.live and not x.held]
"""


def test_a_guard_is_what_leaves_a_condition_of_what_decides_or_a_rule_of_a_chain() -> None:
    found = [guard.name for guard in of_source("small", SMALL)]
    assert found == [
        "CHAIN: first",
        "CHAIN: second",
        "decide: if world is None or world.gone",
        "decide: or world is None in world is None or world.gone",
        "decide: or world.gone in world is None or world.gone",
        "decide: and world.ready in world.ready and world.weight == 100",
        "decide: and world.weight == 100 in world.ready and world.weight == 100",
        "decide: and x.live in x.live and (not x.held)",
        "decide: and not x.held in x.live and (not x.held)",
    ]


def test_a_guard_taken_out_lets_through_what_it_stopped() -> None:
    source = "def f(x):\n    if x < 0 or x > 9:\n        return None\n    return x\n"
    answers = {}
    for guard in of_source("small", source):
        taken: dict[str, object] = {}
        exec(compile(without(source, guard.ordinal), "small", "exec"), taken)  # noqa: S102 the source above
        answers[guard.name] = [taken["f"](x) for x in (-1, 5, 10)]  # type: ignore[operator]
    assert answers == {
        "f: if x < 0 or x > 9": [-1, 5, 10],
        "f: or x < 0 in x < 0 or x > 9": [-1, 5, None],
        "f: or x > 9 in x < 0 or x > 9": [None, 5, 10],
    }


def test_an_error_that_a_story_waits_for_in_vain_is_no_invariant() -> None:
    with pytest.raises(pytest.fail.Exception) as missed, pytest.raises(KeyError):
        pass
    assert kind(missed.value) == STORY


def test_no_reason_is_kept_for_a_guard_that_is_not_there_any_more() -> None:
    assert REASONS.keys() <= {str(guard) for guard in guards()}


def test_a_guard_that_is_new_is_found_in_the_source() -> None:
    before = of_source("small", SMALL)
    after = of_source("small", SMALL.replace("    ready =", "    if low:\n        return None\n    ready ="))
    assert unlisted(before, {str(guard): None for guard in before}) == []
    assert unlisted(after, {str(guard): None for guard in before}) == ["small:decide: if low"]


def test_every_guard_was_looked_for_and_every_witness_is_of_a_guard() -> None:
    """A new guard gets its witness from `python -m tests.guards.witnesses`."""
    known = witnesses()
    assert unlisted(guards(), known) == []
    assert known.keys() | REASONS.keys() == {str(guard) for guard in guards()}


def test_no_guard_is_without_a_witness() -> None:
    assert [guard for guard, check in witnesses().items() if check is None] == []


@pytest.mark.parametrize(
    "every", [pytest.param(SLICE, id="a slice of them"), pytest.param(1, id="all of them", marks=pytest.mark.long)]
)
def test_a_guard_that_has_a_witness_is_missed_when_taken_out(every: int) -> None:
    known = {name: [check] for name, check in witnesses().items() if check is not None}
    wanted = [guard for guard in guards() if str(guard) in known][::every]
    survived = [outcome for outcome in tried(wanted, known) if not outcome.noticed]
    assert not survived, "their witness does not miss them:\n" + "\n".join(map(str, survived))


@pytest.mark.long
def test_the_whole_suite_holds_with_every_guard_and_misses_none_that_has_a_reason() -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "tests.guards.reach"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    reached = {name: spread(checks, {}) for name, checks in json.loads(asked.stdout).items()}
    noticed = [o for o in tried([guard for guard in guards() if str(guard) in REASONS], reached) if o.noticed]
    assert not noticed, "the suite misses them, so they need no reason:\n" + "\n".join(map(str, noticed))
