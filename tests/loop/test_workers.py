"""What one worker does about another, about time, and about answers that are not to the question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.loop.invariants import Invariants
from tests.loop.tap import tapped
from tests.loop.world import MODEL, Died, World, to_weight
from watcher import slots
from watcher.errors import Conflict, Terminal, Transient
from watcher.fakes.deployer import FakeDeployer
from watcher.gather import Sources
from watcher.ports import Stored
from watcher.reconcile import Loop
from watcher.record import NAMES, Record, from_json
from watcher.settings import Limits
from watcher.values import Call, Example, Probe, Release, Verb


def test_an_unexpired_intent_of_another_worker_stops_this_one() -> None:
    world = World(atomic=False)
    world.train(0.8)
    world.now += 30

    def at(verb: str, when: str) -> None:
        if verb == "challenge" and when == "before":
            raise Died

    with pytest.raises(Died):
        world.rest(tapped(world, at))
    woken = world.wake()
    assert (woken.step.verb, woken.step.reason) == (Verb.WAIT, "leased")
    assert woken.again is not None
    assert world.registry.read(MODEL).challenger is None
    world.now = woken.again
    world.rest()
    assert world.champion() == 1


def slow_reads(world: World) -> Sources:
    """Ports of a worker to which the registry answers after 58 seconds."""

    def at(verb: str, when: str) -> None:
        if (verb, when) == ("read", "after"):
            world.now += 58.0

    return tapped(world, at).sources


def test_a_wake_up_that_read_for_too_long_takes_no_step() -> None:
    world = World()
    world.train(0.8)
    loop = replace(world.worker(), deadline=60.0)

    woken = replace(loop, sources=slow_reads(world)).wake(world.watched)
    assert woken.step.reason == "deadline_of_wake"
    assert world.registry.read(MODEL).challenger is None


def test_a_wake_up_that_takes_no_step_leaves_a_rollout_its_slot() -> None:
    world = World()
    world.crowned(0.8)
    to_weight(world, world.train(0.9), 10)
    world.wake()
    world.now += world.rollout.bake

    late = replace(world.worker(), deadline=60.0, sources=slow_reads(world))
    assert late.wake(world.watched).step.reason == "deadline_of_wake"
    assert slots.holders(world.ledger) == (MODEL,)


def test_a_model_that_finds_no_slot_is_told_once_and_looks_again_soon() -> None:
    world = World(limits=Limits(rollouts_at_once=0))
    world.train(0.8)
    loop = replace(world.worker(), evidence_every=60.0)
    for _ in range(3):
        woken = world.wake(loop)
        assert (woken.step.reason, woken.step.version) == ("slots_full", 1)
        assert woken.again == world.woken_at + 10.0
        world.now = woken.again
    assert [line.reason for line in world.lines("told")] == ["slots_full"]


def test_a_late_wake_up_is_told_once_and_waits_before_the_next() -> None:
    world = World()
    world.train(0.8)
    loop = replace(world.worker(), deadline=60.0)

    late = replace(loop, sources=slow_reads(world), evidence_every=60.0)
    for _ in range(3):
        woken = late.wake(world.watched)
        assert woken.again == world.now + 10.0
        world.now = woken.again
    assert [line.reason for line in world.lines("told")] == ["deadline_of_wake"]
    world.rest(loop)
    assert world.champion() == 1


def test_a_deployer_that_is_too_slow_for_the_host_is_told_once_and_looked_at_with_pauses() -> None:
    world = World()
    world.deployer.lease = 300.0
    version = world.train(0.8)
    hosted = replace(world.worker(), deadline=200.0, evidence_every=60.0)
    for _ in range(20):
        woken = hosted.wake(world.watched)
        assert woken.step.reason == "deadline_too_short"
        assert woken.again == world.now + hosted.evidence_every
        world.now = woken.again
    (told,) = world.lines("told")
    assert told.data is not None
    assert "300 s" in told.data["detail"]
    assert "200 s" in told.data["detail"]
    assert world.registry.read(MODEL).challenger is None
    world.rest()
    assert world.champion() == version, "a host without such a limit goes on"


def test_a_verb_does_not_start_when_writing_its_intent_took_the_lease() -> None:
    world = World()
    world.train(0.8)

    def at(verb: str, when: str) -> None:
        if verb == "save" and when == "after":
            world.now += 8.0

    woken = tapped(world, at).wake(world.watched)
    assert (woken.step.reason, woken.step.detail) == ("leased", "nominate::1")
    assert world.registry.read(MODEL).challenger is None


def test_a_probe_that_another_version_answered_is_a_failure() -> None:
    class Crossed(FakeDeployer):
        def probe(self, release: Release, example: Example) -> Probe:
            answered = super().probe(release, example)
            return replace(answered, version=1)

    world = World()
    champion = world.crowned(0.8)
    crossed = Crossed(world.clock, places=world.deployer.places)
    world.deployer = crossed
    bad = world.train(0.9)
    world.rest()
    assert world.call(bad) is Call.ROLLED_BACK
    assert world.champion() == champion
    (line,) = world.lines("rolled_back")
    assert line.data is not None
    assert line.data["reason"] == line.reason == "probe_failed"
    assert "v1 answered instead of v2" in line.data["detail"]


def test_a_failing_launch_is_tried_again_with_longer_pauses_until_it_works() -> None:
    world = World()
    world.deployer.faults.fail("launch", Transient("the gateway does not answer"), times=4)
    version = world.train(0.8)
    world.rest()
    assert world.champion() == version
    failed = [line.at for line in world.lines("failed")]
    gaps = [later - earlier for earlier, later in pairwise(failed)]
    assert len(failed) == 4
    assert gaps == sorted(gaps)
    assert gaps[-1] > 2 * gaps[0] * 0.9


def test_the_other_sides_wish_to_be_left_alone_is_respected() -> None:
    world = World()
    world.deployer.faults.fail("launch", Transient("busy", retry_after=77.0))
    world.train(0.8)
    world.rest()
    (failed,) = world.lines("failed")
    tried = [line.at for line in world.lines("intent") if line.data and line.data["verb"] == Verb.LAUNCH]
    assert tried[1] - failed.at >= 77.0


def test_a_launch_that_can_never_work_rolls_the_challenger_back() -> None:
    world = World()
    champion = world.crowned(0.8)
    bad = world.train(0.9)
    world.deployer.faults.fail("launch", Terminal("no such instance type"))
    world.rest()
    assert world.call(bad) is Call.ROLLED_BACK
    assert world.serving() == {champion: 100}


def test_whoever_wakes_a_model_is_told_whether_its_step_failed_and_a_conflict_is_none() -> None:
    world = World()
    world.deployer.faults.fail("launch", Transient("busy"))
    world.deployer.faults.fail("shift", Conflict("it changed"))
    world.train(0.8)
    loop, failed = world.worker(), []
    for _ in range(60):
        woken = world.wake(loop)
        failed += [woken.step.verb] if woken.failed else []
        world.now = max(world.now, woken.again or world.now)
    assert world.champion() == 1
    assert failed == [Verb.LAUNCH]


def test_whoever_wakes_a_model_is_told_that_its_order_cannot_be_met() -> None:
    world = World()
    world.crowned(0.8)
    ordered = world.train(0.6)
    world.rest()
    assert world.woken is not None
    assert not world.woken.unmet
    world.deployer.broken[ordered] = "no such artifacts"
    world.registry.set_alias(MODEL, "champion", ordered)
    world.rest()
    assert world.woken.unmet


def test_a_wait_that_changes_nothing_is_not_written_down() -> None:
    world = World()
    world.crowned(0.8)
    world.rest()
    before = world.kept()
    world.wake()
    assert world.kept() == before


def test_a_conflict_is_an_answer_and_the_world_is_read_again() -> None:
    world = World()
    world.deployer.faults.fail("shift", Conflict("it changed"), times=2)
    version = world.train(0.8)
    world.rest()
    assert world.champion() == version
    assert [line.reason for line in world.lines("failed")] == ["conflict", "conflict"]


DAMAGED = [{name: ["?"]} for name in NAMES[Record]] + [
    {"format": 2},
    {"born": float("nan")},
    {"born": float("inf")},
    {"n": True},
    {"settled": None},
    {"first_seen": {"?": 1.0}},
    {"first_seen": {"1-a": "?"}},
    {"approved": {"?": 1.0}},
    {"phases": {"api": {"key": 1, "since": 2.0}}},
    {"probed": {"api": {"release": "r", "ok": "?", "at": 1.0}}},
    {"attempts": {"tag:1": {"count": None, "not_before": 1.0}}},
    {"live": {"api": {"1": "?"}}},
    {"intent": {"worker": "w", "until": "?", "step": "s"}},
]


@pytest.mark.parametrize("damage", DAMAGED, ids=str)
def test_a_record_that_cannot_be_read_is_rebuilt_and_said_so(damage: dict[str, Any]) -> None:
    world = World()
    version = world.crowned(0.8)
    stored = world.ledger.load(MODEL)
    assert stored is not None
    world.ledger.save(MODEL, {**stored.body, **damage}, stored.revision)
    world.rest()
    rebuilt = world.ledger.load(MODEL)
    assert rebuilt is not None
    crown = world.registry.read(MODEL).crown
    assert crown is not None
    assert from_json(rebuilt.body).n == crown.n > 0
    assert len(world.lines("ledger_rebuilt")) == 1
    assert world.serving() == {version: 100}


def test_an_unreachable_target_does_not_keep_verdicts_from_being_written() -> None:
    world = World()
    world.crowned(0.8)
    worse = world.train(0.7)
    world.deployer.faults.fail("observe", Transient("no route to it"), times=6)
    loop = world.worker()
    for _ in range(4):
        world.wake(loop)
    assert world.call(worse) is Call.LOSES
    assert world.lines("told")[-1].reason == "target_unseen"


def test_a_bake_counts_from_no_earlier_than_another_worker_s_shift() -> None:
    """The ledger answers one worker late, and in between another one shifts."""
    world = World()
    world.crowned(0.8)
    second = world.train(0.9)
    Invariants(world)
    to_weight(world, second, 10)
    world.wake()
    world.now += world.rollout.bake

    def meanwhile(verb: str, when: str) -> None:
        if (verb, when) == ("load", "before") and world.serving().get(second) == 10:
            world.now += 5.0
            world.wake()
            assert world.serving()[second] == 50

    world.wake(tapped(world, meanwhile))
    world.rest()
    assert world.champion() == second


def overtaken(world: World, deed: Callable[[Loop], None]) -> Loop:
    """A worker that stops before its first tag for longer than its lease, while another one does this."""
    others = [world.worker()]

    def at(verb: str, when: str) -> None:
        if (verb, when) == ("tag", "before") and others:
            other = others.pop()
            world.now += 60.0
            deed(other)

    return tapped(world, at)


def rejudged() -> tuple[World, int]:
    """A version that lost, and that a person has judged again."""
    world = World(atomic=False)
    world.crowned(0.9)
    worse = world.train(0.5)
    world.rest()
    world.registry.rejudge(MODEL, worse)
    return world, worse


def test_a_verdict_that_an_overtaken_worker_takes_off_is_written_again() -> None:
    world, worse = rejudged()
    meanwhile: list[Call | None] = []

    def deed(other: Loop) -> None:
        for _ in range(3):
            other.wake(world.watched)
        meanwhile.append(world.call(worse))

    world.rest(overtaken(world, deed))
    assert meanwhile == [Call.LOSES]
    assert world.call(worse) is Call.LOSES


def test_an_overtaken_worker_has_its_version_read_again_and_leaves_all_else_to_the_other() -> None:
    world, worse = rejudged()
    kept: list[Stored | None] = []

    def deed(other: Loop) -> None:
        for _ in range(3):
            other.wake(world.watched)
        kept.append(world.kept())

    woken = overtaken(world, deed).wake(world.watched)
    assert not woken.acted
    (before,), after = kept, world.kept()
    assert before is not None
    assert after is not None
    assert before.body["settled"] == worse
    assert after.due == world.now
    assert after.body == {**before.body, "settled": worse - 1}


def test_a_ledger_that_is_wiped_under_a_verb_starts_anew() -> None:
    world = World(atomic=False)
    champion = world.crowned(0.9)
    worse = world.train(0.5)
    wiped: list[float] = []

    def at(verb: str, when: str) -> None:
        if (verb, when) == ("tag", "before") and not wiped:
            wiped.append(world.now)
            world.ledger.wipe()

    world.rest(tapped(world, at))
    stored, crown = world.kept(), world.registry.read(MODEL).crown
    assert stored is not None
    assert crown is not None
    anew = from_json(stored.body)
    assert anew.born >= wiped[0]
    assert anew.n == crown.n
    assert world.call(worse) is Call.LOSES
    assert world.serving() == {champion: 100}


def test_a_line_of_a_step_says_who_took_it_and_how_long_it_took() -> None:
    world = World()
    world.train(0.8)
    fails = [Transient("busy")]

    def at(verb: str, when: str) -> None:
        if (verb, when) == ("launch", "before"):
            world.now += 2.3456
            if fails:
                raise fails.pop()

    loop = tapped(world, at)
    world.rest(loop)
    failed, launched = (
        next(line.data for line in world.lines(event) if line.data and line.data["verb"] == "launch")
        for event in ("failed", "done")
    )
    for data in (failed, launched):
        assert (data["worker"], data["seconds"]) == (loop.worker, 2.346)


def test_a_line_of_a_probe_says_what_answered_and_how_fast() -> None:
    world = World()
    version = world.crowned(0.8)
    (line,) = (x for x in world.lines("done") if x.reason == "probe")
    assert line.data is not None
    assert [line.data[key] for key in ("ok", "answered", "ms", "detail")] == [True, version, 5.0, "3 rows"]


def test_an_overtaken_worker_does_not_call_a_version_winner_that_has_been_rolled_back() -> None:
    world = World(atomic=False)
    world.crowned(0.8)
    bad = world.train(0.9)
    world.deployer.error_share[bad] = 0.5
    meanwhile: list[Call | None] = []

    def deed(other: Loop) -> None:
        world.rest(other)
        meanwhile.append(world.call(bad))

    world.rest(overtaken(world, deed))
    assert meanwhile == [Call.ROLLED_BACK]
    assert world.call(bad) is Call.ROLLED_BACK


def test_an_order_that_an_overtaken_worker_calls_unmet_is_not_called_so_once_it_is_met() -> None:
    world = World(atomic=False)
    world.crowned(0.8)
    world.crowned(0.9)
    world.registry.set_tag(MODEL, 2, "watcher.verdict", str(Call.UNMET))
    world.rest()
    assert world.call(2) is None
    assert world.champion() == 2


def test_an_intent_says_what_will_be_tried_and_by_whom() -> None:
    world = World()
    world.crowned(0.8)
    second = world.train(0.9)
    to_weight(world, second, 10)
    seen = world.deployer.observe(world.targets[0])
    old, new = (release.name for release in sorted(seen.releases, key=lambda release: release.version))
    intent = next(x for x in world.lines("intent") if x.reason == "canary_step" and x.version == second)
    assert (intent.model, intent.target, intent.version) == (MODEL, "api", second)
    assert intent.data == {
        "verb": "shift",
        "slot": f"shift:api:{old}=90,{new}=10",
        "weights": {old: 90, new: 10},
        "worker": world.woken_as,
        "detail": "",
    }


def test_whoever_finds_the_ledger_changed_takes_no_step_and_looks_again_at_once() -> None:
    world = World()
    version = world.train(0.8)
    world.wake()
    world.ledger.fail("save", Conflict("somebody was faster"), key=MODEL)
    woken = world.wake()
    assert (woken.model, woken.step.reason) == (MODEL, "conflict")
    assert woken.again == world.woken_at
    assert not woken.acted
    assert world.call(version) is None
