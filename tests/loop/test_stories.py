"""What a user is promised, told on fakes: from a registration to the crown, and back."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.loop.world import MODEL, World, ready, target, to_weight, with_rollout
from watcher.errors import Transient
from watcher.naming import release_name
from watcher.policy import Approval
from watcher.values import Call, Mode, Status, Verb, Wrote


def test_the_first_version_is_launched_probed_shifted_and_crowned() -> None:
    world = World()
    version = world.train(0.8)
    steps = world.rest()
    assert world.champion() == version
    assert world.serving() == {version: 100}
    verbs = [step.split(":")[0] for step in steps]
    assert verbs == ["nominate", "tag", "launch", "probe", "shift", "crown", "unmark"]
    crown = world.registry.read(MODEL).crown
    assert crown is not None
    assert (crown.crowned, crown.previous, crown.floor, crown.met) == (version, None, 0, True)


def test_a_better_version_goes_through_every_canary_step_and_the_old_one_is_kept_warm_then_retired() -> None:
    world = World()
    old = world.crowned(0.8)
    new = world.train(0.9)
    crowned_before = world.now
    steps = world.rest(until=crowned_before + 100)
    shifts = [step.rsplit(":", 1)[1] for step in steps if step.startswith("shift")]
    assert [s.count("=") for s in shifts] == [2, 2, 1]
    assert [line.data and line.data["weights"] for line in world.lines("live")[-3:]] == [
        {str(old): 90, str(new): 10},
        {str(old): 50, str(new): 50},
        {str(new): 100},
    ]
    assert world.champion() == new
    world.now += 120
    world.rest()
    assert ready(world, "api") == [new]
    assert world.registry.read(MODEL).challenger is None


def test_the_old_release_stays_until_its_keep_warm_time_is_over() -> None:
    world = with_rollout(World(), keep_warm=10_000.0)
    old = world.crowned(0.8)
    new = world.train(0.9)
    world.rest(until=world.now + 500)
    assert ready(world, "api") == [old, new]
    assert world.woken is not None
    (crowned,) = (line for line in world.lines("crowned") if line.version == new)
    assert world.woken.again == crowned.at + 10_000.0
    world.now = world.woken.again
    assert world.wake().step.verb is Verb.RETIRE


def test_a_worse_version_loses_and_is_tagged() -> None:
    world = World()
    champion = world.crowned(0.8)
    worse = world.train(0.7)
    world.rest()
    assert world.call(worse) is Call.LOSES
    assert world.serving() == {champion: 100}
    (verdict,) = (line for line in world.lines("verdict") if line.version == worse)
    assert verdict.data is not None
    assert (verdict.data["call"], verdict.data["reason"]) == ("loses", verdict.reason)


def test_a_version_without_the_metric_waits_and_wins_once_it_is_logged() -> None:
    world = World()
    world.crowned(0.8)
    late = world.train(None)
    world.rest()
    assert world.call(late) is None
    world.registry.log_metric(MODEL, late, "auc", 0.9)
    world.now += 5
    world.rest()
    assert world.champion() == late


def test_a_version_whose_metric_turns_out_nan_is_invalid() -> None:
    world = World()
    world.crowned(0.8)
    version = world.train(math.nan)
    world.rest()
    assert world.call(version) is Call.INVALID


@pytest.mark.parametrize("fault", ["broken", "mute"])
def test_a_challenger_that_does_not_come_up_or_fails_its_probe_is_rolled_back_everywhere(fault: str) -> None:
    world = World(targets=(target("api"), target("nightly", "fake-batch")))
    champion = world.crowned(0.8)
    bad = world.train(0.9)
    getattr(world.deployer, fault)[bad] = "it raises ValueError"
    world.rest()
    assert world.call(bad) is Call.ROLLED_BACK
    assert world.champion() == champion
    assert world.serving("api") == world.serving("nightly") == {champion: 100}
    assert ready(world, "api") == [champion]
    (line,) = world.lines("rolled_back")
    assert line.data is not None
    assert "ValueError" in line.data["detail"]


def test_a_challenger_that_fails_real_requests_is_caught_at_the_first_canary_step() -> None:
    world = World()
    champion = world.crowned(0.8)
    bad = world.train(0.9)
    world.deployer.error_share[bad] = 0.3
    world.rest()
    weights = [line.data["weights"] for line in world.lines("live") if line.data]
    assert max(w.get(str(bad), 0) for w in weights) == 10
    assert world.call(bad) is Call.ROLLED_BACK
    assert world.serving() == {champion: 100}
    (line,) = world.lines("rolled_back")
    assert line.reason == "analysis_errors"


def test_a_slow_challenger_is_caught_after_its_bake() -> None:
    world = World()
    champion = world.crowned(0.8)
    slow = world.train(0.9)
    world.deployer.p95_ms[slow] = 40.0
    world.rest()
    assert world.call(slow) is Call.ROLLED_BACK
    assert world.lines("rolled_back")[0].reason == "analysis_latency"
    assert world.serving() == {champion: 100}


def test_too_little_traffic_is_never_a_pass() -> None:
    world = World()
    champion = world.crowned(0.8)
    new = world.train(0.9)
    world.deployer.requests_per_second = 0.0
    world.rest()
    assert world.serving() == {champion: 90, new: 10}
    assert world.lines("told")[-1].reason == "too_few_requests"


def test_too_little_traffic_may_be_replaced_by_a_probe_where_the_rollout_says_so() -> None:
    world = World()
    world.rollout = replace(world.rollout, analysis=replace(world.rollout.analysis, no_traffic="probe"))
    world.crowned(0.8)
    new = world.train(0.9)
    world.deployer.requests_per_second = 0.0
    world.rest()
    assert world.serving() == {new: 100}
    assert world.champion() == new


def test_unknown_traffic_figures_are_never_zero_errors() -> None:
    world = World()
    world.crowned(0.8)
    new = world.train(0.9)
    world.deployer.blind = True
    world.rest()
    assert world.serving()[new] == 10
    assert world.lines("told")[-1].reason == "traffic_unknown"


def test_a_person_moves_the_alias_back_and_is_obeyed_and_not_undone() -> None:
    world = with_rollout(World(), keep_warm=10_000.0)
    first = world.crowned(0.8)
    second = world.crowned(0.9)
    world.registry.set_alias(MODEL, "champion", first)
    steps = world.rest()
    assert steps[0].startswith("acknowledge")
    assert world.serving() == {first: 100}
    assert world.call(second) is Call.DISPLACED
    assert world.champion() == first
    crown = world.registry.read(MODEL).crown
    assert crown is not None
    assert (crown.crowned, crown.previous, crown.met, crown.floor) == (first, second, True, second)
    third = world.train(0.95)
    world.rest()
    assert world.champion() == third


def test_an_order_in_the_middle_of_a_canary_ends_the_rollout() -> None:
    world = World()
    first = world.crowned(0.8)
    second = world.crowned(0.9)
    third = world.train(0.95)
    loop = world.worker()
    while world.serving().get(third) != 10:
        woken = world.wake(loop)
        world.now = max(world.now, woken.again or world.now)
    world.registry.set_alias(MODEL, "champion", first)
    world.rest()
    assert world.serving() == {first: 100}
    assert world.champion() == first
    assert world.call(third) is Call.ROLLED_BACK
    assert world.call(second) is Call.DISPLACED
    assert world.registry.read(MODEL).challenger is None


def test_an_order_that_cannot_be_met_keeps_the_old_one_serving_and_leaves_the_alias() -> None:
    world = World()
    world.crowned(0.8)
    champion = world.crowned(0.9)
    ordered = world.train(0.1)
    world.rest()
    world.deployer.broken[ordered] = "no such artifacts"
    world.registry.set_alias(MODEL, "champion", ordered)
    world.rest()
    assert world.call(ordered) is Call.UNMET
    assert world.champion() == ordered
    assert world.serving() == {champion: 100}
    newer = world.train(0.99)
    world.rest()
    assert world.serving() == {champion: 100}
    assert world.call(newer) is None
    world.registry.set_alias(MODEL, "champion", champion)
    world.rest()
    assert world.serving() == {champion: 100}


def test_an_order_that_could_not_be_met_can_be_given_again_once_its_cause_is_gone() -> None:
    world = with_rollout(World(), keep_warm=0.0)
    champion = world.crowned(0.8)
    ordered = world.train(0.1)
    world.rest()
    world.deployer.broken[ordered] = "no such artifacts"
    world.registry.set_alias(MODEL, "champion", ordered)
    world.rest()
    assert world.call(ordered) is Call.UNMET
    world.deployer.broken.clear()
    world.registry.rejudge(MODEL, ordered)
    world.rest()
    assert world.serving() == {ordered: 100}
    world.deployer.broken[ordered] = "no such artifacts"
    world.registry.set_alias(MODEL, "champion", champion)
    world.rest()
    assert world.serving() == {champion: 100}


def _in_a_canary() -> tuple[World, int]:
    """v1 reigned, v2 reigns, v3 has a tenth of the traffic."""
    world = World()
    world.crowned(0.7)
    world.crowned(0.8)
    new = world.train(0.9)
    loop = world.worker()
    while world.serving().get(new) != 10:
        woken = world.wake(loop)
        world.now = max(world.now, woken.again or world.now)
    return world, new


def test_a_removed_challenger_mark_aborts_the_rollout() -> None:
    world, new = _in_a_canary()
    world.registry.delete_alias(MODEL, "challenger")
    world.rest()
    assert world.call(new) is Call.ROLLED_BACK
    assert world.serving() == {2: 100}


@pytest.mark.parametrize(
    ("score", "marked", "serves"),
    [(None, 1, 2), (None, 2, 2), (0.6, 4, 2), (0.95, 4, 4)],
    ids=["one that reigned", "the champion", "a worse one", "a better one"],
)
def test_a_challenger_mark_that_a_person_sets_on_another_version_aborts_the_rollout_and_says_so(
    score: float | None, marked: int, serves: int
) -> None:
    world, new = _in_a_canary()
    if score is not None:
        world.train(score)
    world.registry.set_alias(MODEL, "challenger", marked)
    world.rest()
    assert world.call(new) is Call.ROLLED_BACK
    assert [line.reason for line in world.lines("rolled_back") if line.version == new] == ["challenger_removed"]
    assert world.serving() == {serves: 100}
    assert world.registry.marks([MODEL])[MODEL].challenger is None


def test_a_rollout_that_goes_back_is_told_once_though_the_crown_tag_is_lost_before_its_mark_is_removed() -> None:
    world, new = _in_a_canary()
    world.deployer.error_share[new] = 0.9
    loop = world.worker()
    while world.call(new) is not Call.ROLLED_BACK:
        woken = world.wake(loop)
        world.now = max(world.now, woken.again or world.now)
    world.registry.set_crown(MODEL, None)
    world.rest()
    assert [line.reason for line in world.lines("rolled_back")] == ["analysis_errors"]
    assert world.serving() == {2: 100}
    assert world.registry.read(MODEL).challenger is None


def test_a_hold_stops_forward_steps_but_not_healing() -> None:
    world = World()
    champion = world.crowned(0.8)
    world.registry.hold(MODEL, "ana")
    world.train(0.9)
    world.deployer.lose(world.targets[0], world.deployer.observe(world.targets[0]).releases[0].name)
    world.rest()
    assert world.serving() == {champion: 100}
    world.registry.hold(MODEL, None)
    world.now += 5
    world.rest()
    assert world.champion() == champion + 1


def test_a_held_canary_that_answers_badly_is_rolled_back_all_the_same() -> None:
    world = World()
    champion = world.crowned(0.8)
    new = world.train(0.9)
    to_weight(world, new, 10)
    world.registry.hold(MODEL, "ana")
    world.rest()
    assert world.serving() == {champion: 90, new: 10}
    world.deployer.error_share[new] = 0.5
    world.now += 5
    world.rest()
    assert world.serving() == {champion: 100}
    assert world.call(new) is Call.ROLLED_BACK


def test_an_impossible_order_in_the_middle_of_a_canary_goes_back_to_the_champion_before_it() -> None:
    world = World(targets=(target("api"), target("eu")))
    first = world.crowned(0.8)
    second = world.crowned(0.9)
    third = world.train(0.95)
    to_weight(world, third, 10)
    world.deployer.broken[first] = "no such artifacts"
    world.now += 100
    world.deployer.retire(world.targets[0], release_name(world.registry.version(MODEL, first).identity))  # type: ignore[union-attr]
    world.registry.set_alias(MODEL, "champion", first)
    world.rest()
    assert world.serving("api") == world.serving("eu") == {second: 100}
    assert world.call(first) is Call.UNMET
    assert world.call(third) is Call.ROLLED_BACK
    assert world.champion() == first


def test_an_impossible_order_before_the_crowning_does_not_leave_the_uncrowned_version_serving() -> None:
    world = World()
    first = world.crowned(0.8)
    bad = world.train(0.1)
    world.rest()
    third = world.train(0.95)
    to_weight(world, third, 100)
    world.deployer.broken[bad] = "no such artifacts"
    world.registry.set_alias(MODEL, "champion", bad)
    world.rest()
    assert world.serving() == {first: 100}
    assert world.call(third) is Call.ROLLED_BACK


def test_a_launch_on_a_target_that_was_stable_for_long_is_looked_at_soon() -> None:
    world = World()
    world.crowned(0.8)
    world.now += 100_000
    world.train(0.9)
    began = world.now
    loop = world.worker()
    while not any(line.reason == "probe" for line in world.lines("done")[6:]):
        woken = world.wake(loop)
        if not woken.acted:
            world.now = max(world.now, woken.again or world.now)
    assert world.now - began < 2 * world.deployer.launch_seconds


def test_rejudging_works_where_the_watcher_only_advises() -> None:
    world = World(mode=Mode.ADVISE)
    champion = world.train(0.8)
    world.registry.set_alias(MODEL, "champion", champion)
    worse = world.train(0.7)
    world.rest()
    assert world.call(worse) is Call.LOSES
    world.registry.log_metric(MODEL, worse, "auc", 0.9)
    world.registry.rejudge(MODEL, worse)
    world.rest()
    assert world.call(worse) is None
    assert world.lines("verdict")[-1].reason == "beats_champion"
    assert [line.version for line in world.lines("seen")].count(worse) == 1


def test_an_emptied_target_is_healed() -> None:
    world = World()
    champion = world.crowned(0.8)
    name = world.deployer.observe(world.targets[0]).releases[0].name
    world.deployer.lose(world.targets[0], name)
    world.rest()
    assert world.serving() == {champion: 100}


def test_somebody_elses_weights_are_put_right() -> None:
    world = with_rollout(World(), keep_warm=10_000.0)
    world.crowned(0.8)
    new = world.crowned(0.9)
    seen = world.deployer.observe(world.targets[0])
    world.deployer.meddle(world.targets[0], {r.name: 50 for r in seen.releases})
    world.rest()
    assert world.serving() == {new: 100}


def test_weights_that_somebody_changes_in_mid_canary_go_back_to_the_champion() -> None:
    world = World()
    champion = world.crowned(0.8)
    new = world.train(0.9)
    to_weight(world, new, 10)
    seen = world.deployer.observe(world.targets[0])
    world.deployer.meddle(world.targets[0], {r.name: 70 if r.version == new else 30 for r in seen.releases})
    world.rest()
    (back,) = (line for line in world.lines("done") if line.reason == "drift_shift")
    assert (back.target, back.version) == ("api", champion)
    assert world.champion() == new


def test_advise_judges_and_touches_nothing() -> None:
    world = World(mode=Mode.ADVISE)
    version = world.train(0.8)
    world.rest()
    assert world.champion() is None
    assert world.deployer.launches == []
    assert world.deployer.faults.calls == []
    assert world.lines("verdict")[0].version == version
    assert world.lines("told")[-1].reason == "advise_only"


def test_every_intermediate_version_gets_a_verdict() -> None:
    world = World()
    world.crowned(0.8)
    versions = [world.train(0.7 + i / 1000) for i in range(8)]
    world.rest()
    assert [world.call(v) for v in versions] == [Call.LOSES] * 8


def test_the_best_of_several_winners_is_nominated_and_the_others_are_judged_against_it() -> None:
    world = World()
    world.crowned(0.8)
    good, best, fine = world.train(0.85), world.train(0.95), world.train(0.9)
    world.rest()
    assert world.champion() == best
    assert world.call(good) is Call.SUPERSEDED
    assert world.call(fine) is Call.LOSES


def test_a_winner_waits_for_its_approval_and_goes_once_it_is_there() -> None:
    world = World(policy=replace(World().policy, approval=Approval("approved_by")))
    version = world.train(0.8)
    world.rest()
    assert world.champion() is None
    world.registry.approve(MODEL, version, "approved_by", "ana")
    world.now += 5
    world.rest()
    assert world.champion() == version


def test_a_pending_version_waits_until_it_is_ready() -> None:
    world = World()
    version = world.train(0.8, status=Status.PENDING)
    world.rest()
    assert world.champion() is None
    world.registry.set_status(MODEL, version, Status.READY)
    world.now += 5
    world.rest()
    assert world.champion() == version


def test_a_deleted_champion_keeps_serving_and_nothing_is_judged() -> None:
    world = World()
    champion = world.crowned(0.8)
    world.registry.delete_version(MODEL, champion)
    newer = world.train(0.9)
    world.rest()
    assert world.serving() == {champion: 100}
    assert world.call(newer) is None
    assert world.lines("told")[-1].reason == "champion_gone"


def test_a_renamed_model_keeps_serving() -> None:
    world = World()
    champion = world.crowned(0.8)
    world.registry.rename(MODEL, "other")
    world.rest()
    assert world.serving() == {champion: 100}
    assert world.lines("told")[-1].reason == "model_gone"


def test_rejudging_a_rolled_back_version_lets_it_try_again() -> None:
    world = World()
    world.crowned(0.8)
    version = world.train(0.9)
    world.deployer.mute[version] = "it raises"
    world.rest()
    assert world.call(version) is Call.ROLLED_BACK
    world.deployer.mute.clear()
    world.registry.rejudge(MODEL, version)
    world.rest()
    assert world.champion() == version


def test_a_version_without_an_example_waits_and_says_so() -> None:
    world = World()
    world.crowned(0.8)
    world.train(0.9)
    world.registry.set_evidence(MODEL, 2, example=None)
    world.rest()
    assert world.champion() == 1
    assert world.lines("told")[-1].reason == "no_example"


def test_a_foreign_release_is_not_moved_before_a_person_lends_the_place() -> None:
    world = World()
    world.deployer.foreign(world.targets[0], "hand-made", 0)
    version = world.train(0.8)
    world.registry.set_alias(MODEL, "champion", version)
    world.rest()
    assert world.serving() == {0: 100}
    assert world.lines("told")[-1].reason == "not_adopted"
    world.deployer.adopt(world.targets[0], world.registry.version(MODEL, version))  # type: ignore[arg-type]
    world.rest()
    assert world.serving() == {version: 100}
    assert any(r.name == "hand-made" for r in world.deployer.observe(world.targets[0]).releases)


def test_a_rollout_past_its_deadline_is_rolled_back() -> None:
    world = with_rollout(World(), deadline=10.0)
    champion = world.crowned(0.8)
    new = world.train(0.9)
    world.rest()
    assert world.call(new) is Call.ROLLED_BACK
    assert world.lines("rolled_back")[0].reason == "rollout_deadline"
    assert world.serving() == {champion: 100}


def test_a_wiped_ledger_costs_time_and_changes_nothing() -> None:
    world = World()
    world.crowned(0.8)
    world.crowned(0.9)
    before = world.registry.read(MODEL)
    world.ledger.wipe()
    world.rest()
    assert world.registry.read(MODEL) == before
    assert world.serving() == {2: 100}


def test_a_version_is_crowned_once_the_stream_has_applied_it_and_not_when_its_pointer_moved() -> None:
    world = World(targets=(target("api"), target("live", "fake-stream")))
    world.crowned(0.8)
    world.deployer.apply_seconds = 30.0
    version = world.train(0.9)
    world.rest()
    (crowned,) = [line for line in world.lines("crowned") if line.version == version]
    moves = [line for line in world.lines("live") if line.target == "live" and line.version == version]
    assert len(moves) == 1
    assert crowned.at >= moves[0].at + 30.0


def test_an_order_is_met_once_the_stream_has_applied_it() -> None:
    world = World(targets=(target("live", "fake-stream"),))
    first = world.crowned(0.8)
    world.crowned(0.9)
    world.deployer.apply_seconds = 30.0
    world.registry.set_champion(MODEL, first)
    world.rest()
    (moved,) = [line for line in world.lines("live") if line.at >= world.lines("order")[-1].at]
    met = [line for line in world.lines("done") if line.reason == "order_met"]
    assert met[-1].at >= moved.at + 30.0


def test_what_a_job_wrote_with_a_version_is_told_once_the_job_runs_another_and_again_if_it_was_more() -> None:
    world = World(targets=(target("live", "fake-stream"),))
    old = world.crowned(0.8)
    world.deployer.wrote[old] = Wrote(120, 1.0, 2.0, "scores", commits=(3, 9))
    world.rest()
    assert world.lines("wrote") == []
    world.deployer.apply_seconds = 30.0
    new = world.train(0.9)
    world.rest()
    (line,) = world.lines("wrote")
    assert (line.target, line.version) == ("live", old)
    assert line.data == {
        "rows": 120,
        "since": 1.0,
        "until": 2.0,
        "where": "scores",
        "folders": [],
        "commits": [3, 9],
    }
    assert line.at >= [one for one in world.lines("live") if one.version == new][-1].at + 30.0
    world.deployer.wrote[old] = Wrote(121, 1.0, 3.0, "scores", commits=(3, 10))
    world.now += 1.0
    world.wake()
    world.wake()
    assert [(one.data or {})["rows"] for one in world.lines("wrote")] == [120, 121]
    world.deployer.faults.fail("observe", Transient("no route"))
    for _ in range(3):
        world.now += 1.0
        world.wake()
    assert len(world.lines("wrote")) == 2


def test_what_a_job_wrote_whose_rows_nobody_counts_is_told_again_if_it_wrote_until_later() -> None:
    world = World(targets=(target("nightly", "fake-batch"),))
    old = world.crowned(0.8)
    world.deployer.wrote[old] = Wrote(None, 1.0, 2.0, "scores", folders=("1",))
    world.train(0.9)
    world.rest()
    world.deployer.wrote[old] = Wrote(None, 1.0, 3.0, "scores", folders=("1", "2"))
    world.wake()
    world.wake()
    assert [(line.data or {})["until"] for line in world.lines("wrote")] == [2.0, 3.0]


def test_a_state_that_was_over_is_told_again_when_it_comes_back() -> None:
    world = World()
    version = world.crowned(0.8)
    for _ in range(2):
        world.registry.delete_alias(MODEL, "champion")
        world.rest()
        world.registry.set_alias(MODEL, "champion", version)
        world.rest()
    missing = [line.reason for line in world.lines("told") if line.reason == "champion_missing"]
    assert len(missing) == 2
