"""One bad part never holds up the rest: not the model, not the slots, not the loop, and never without words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.loop.tap import tapped
from tests.loop.world import MODEL, Died, World, out_of_reach, ready, target, to_weight, with_rollout
from watcher.errors import Terminal, Transient, UnderWay
from watcher.naming import release_name
from watcher.pause import paused, set_paused
from watcher.policy import Approval
from watcher.record import from_json, key_of
from watcher.slots import holders
from watcher.values import Call, EvidenceOf, Example, Mode, Version


def unreadable(world: World, *numbers: int, error: Exception | None = None) -> None:
    """From now on the storage refuses these versions' files."""
    of = world.registry.of

    def refusing(version: Version) -> EvidenceOf:
        if version.number in numbers:
            raise error or Transient("storage: 403")
        return of(version)

    world.registry.of = refusing  # type: ignore[method-assign]


@pytest.mark.parametrize("error", [Transient("storage: 403"), Terminal("boto3 is not installed")])
def test_a_version_whose_files_cannot_be_read_waits_and_nobody_else_does(error: Exception) -> None:
    world = World()
    world.crowned(0.8)
    stuck = world.train(0.9)
    unreadable(world, stuck, error=error)
    better = world.train(0.95)
    world.rest()
    assert world.champion() == better
    assert world.call(stuck) is Call.SUPERSEDED


def test_storage_that_fails_in_mid_canary_does_not_stop_its_analysis() -> None:
    world = World()
    champion = world.crowned(0.8)
    bad = world.train(0.9)
    to_weight(world, bad, 10)
    unreadable(world, champion, bad)
    world.deployer.error_share[bad] = 0.9
    world.now += 5
    world.rest()
    assert world.serving() == {champion: 100}
    assert world.call(bad) is Call.ROLLED_BACK


def test_a_lost_sample_file_stops_the_probe_and_not_an_order() -> None:
    def lost(name: str) -> Example:
        raise Transient(f"{name} cannot be read")

    world = with_rollout(World(), probe_file="rows.json", keep_warm=10_000.0)
    first = world.crowned(0.8)
    world.crowned(0.85)
    world.train(0.9)
    loop = world.worker()
    loop = replace(loop, sources=replace(loop.sources, sample=lost))
    world.rest(loop)
    assert world.lines("told")[-1].reason == "no_example"
    world.registry.set_alias(MODEL, "champion", first)
    world.rest(loop)
    assert world.serving() == {first: 100}


def test_a_target_out_of_reach_does_not_protect_a_bad_canary_on_another() -> None:
    world = World(targets=(target("api"), target("eu")))
    champion = world.crowned(0.8)
    bad = world.train(0.9)
    to_weight(world, bad, 10)
    out_of_reach(world, "eu", Transient("no route"))
    world.deployer.error_share[bad] = 0.9
    loop = world.worker()
    for _ in range(30):
        woken = world.wake(loop)
        world.now = max(world.now, woken.again or world.now)
    assert world.serving("api") == {champion: 100}


def test_a_target_out_of_reach_does_not_hide_what_the_next_one_serves() -> None:
    world = World(targets=(target("api"), target("eu")))
    world.crowned(0.8)
    out_of_reach(world, "api", Transient("no route"))
    world.deployer.meddle(world.targets[1], {})
    world.wake()
    told = [line for line in world.lines("live") if line.reason == "observed"]
    assert [(line.target, line.data) for line in told] == [("eu", {"weights": {}})]


def test_a_recreated_model_is_judged_from_its_first_version_on() -> None:
    world = World()
    world.crowned(0.8)
    for _ in range(5):
        world.train(0.7)
    world.rest()
    world.registry.delete_model(MODEL)
    world.rest()
    first = world.train(0.8)
    world.registry.set_alias(MODEL, "champion", first)
    world.rest()
    worse, better = world.train(0.7), world.train(0.9)
    world.rest()
    assert world.call(worse) is not None
    assert world.champion() == better
    assert world.serving() == {better: 100}


def test_a_number_of_the_model_before_is_no_place_to_go_back_to() -> None:
    world = World()
    world.crowned(0.8)
    world.crowned(0.9)
    world.registry.delete_model(MODEL)
    first, unjudged = world.train(0.5), world.train(0.4)
    world.deployer.broken[first] = "no such artifacts"
    world.registry.set_alias(MODEL, "champion", first)
    loop = world.worker()
    for _ in range(60):
        woken = world.wake(loop)
        world.now = max(world.now, woken.again or world.now)
    key = world.registry.version(MODEL, unjudged).identity.key  # type: ignore[union-attr]
    assert key not in [key for _, key in world.deployer.launches]


def test_an_order_that_failed_with_nowhere_to_go_back_is_told() -> None:
    world = with_rollout(World(), keep_warm=0.0)
    first = world.crowned(0.8)
    second = world.crowned(0.9)
    world.rest()
    world.deployer.broken[first] = "no such artifacts"
    world.registry.set_alias(MODEL, "champion", first)
    loop = world.worker()
    world.wake(loop)
    world.registry.delete_version(MODEL, second)
    for _ in range(30):
        woken = world.wake(loop)
        world.now = max(world.now, woken.again or world.now)
    assert "is gone" in str(world.lines("told")[-1].data)
    assert world.serving() == {second: 100}


def test_a_champion_that_no_longer_starts_is_launched_again_with_growing_pauses() -> None:
    world = World()
    champion = world.crowned(0.8)
    world.deployer.broken[champion] = "no such artifacts"
    name = release_name(world.registry.version(MODEL, champion).identity)  # type: ignore[union-attr]
    world.deployer.lose(world.targets[0], name)
    launches, began = len(world.deployer.launches), world.now
    loop = world.worker()
    for _ in range(200):
        woken = world.wake(loop)
        if not woken.acted:
            world.now = max(world.now, woken.again or world.now + 1)
        if world.now > began + 3_600:
            break
    assert 5 < len(world.deployer.launches) - launches < 25
    world.deployer.broken.clear()
    world.now += 700
    world.rest()
    assert world.serving() == {champion: 100}


def test_a_rollout_that_advice_cut_short_is_told_and_gives_its_slot_back() -> None:
    world = World()
    champion = world.crowned(0.8)
    new = world.train(0.9)
    to_weight(world, new, 10)
    world.mode = Mode.ADVISE
    loop = world.worker()
    world.wake(loop)
    world.wake(loop)
    assert "stands still" in str(world.lines("told")[-1].data)
    assert holders(world.ledger) == ()
    world.mode = Mode.DEPLOY
    world.rest()
    assert world.champion() == new != champion


def test_a_model_deleted_in_mid_rollout_gives_its_slot_back() -> None:
    world = World()
    world.crowned(0.8)
    new = world.train(0.9)
    to_weight(world, new, 10)
    assert holders(world.ledger) == (MODEL,)
    world.registry.delete_model(MODEL)
    world.rest()
    assert holders(world.ledger) == ()


def test_a_first_version_deleted_in_its_own_rollout_leaves_the_target() -> None:
    world = with_rollout(World(targets=(target("api"), target("eu"))), keep_warm=0.0)
    first = world.train(0.8)
    to_weight(world, first, 100)
    world.registry.delete_version(MODEL, first)
    world.rest()
    assert world.serving("api") == {}
    assert holders(world.ledger) == ()


def test_a_displaced_version_is_judged_again_when_a_person_says_so() -> None:
    world = with_rollout(World(), keep_warm=0.0)
    first = world.crowned(0.8)
    second = world.crowned(0.9)
    world.registry.set_alias(MODEL, "champion", first)
    world.rest()
    assert world.call(second) is Call.DISPLACED
    world.registry.rejudge(MODEL, second)
    world.rest()
    assert world.champion() == second


def test_a_release_that_cannot_be_removed_keeps_no_winner_waiting() -> None:
    world = with_rollout(World(), keep_warm=0.0)
    world.crowned(0.8)
    world.deployer.faults.fail("retire", Terminal("403"), times=10_000)
    to_weight(world, world.train(0.85), 100)
    new = world.train(0.9)
    loop = world.worker()
    for _ in range(300):
        woken = world.wake(loop)
        if not woken.acted:
            world.now = max(world.now, min(woken.again or world.now + 1, world.now + 5))
    assert world.champion() == new


def test_an_approval_given_again_after_it_was_taken_away_counts_from_then() -> None:
    world = World(policy=replace(World().policy, approval=Approval("approved_by", expires=100.0)))
    version = world.train(0.8)
    world.registry.hold(MODEL, "ana")
    world.registry.approve(MODEL, version, "approved_by", "ana")
    world.rest()
    world.now += 200
    world.registry.delete_tag(MODEL, version, "approved_by")
    world.rest()
    world.registry.hold(MODEL, None)
    world.registry.approve(MODEL, version, "approved_by", "ana")
    world.rest()
    assert world.champion() == version


def test_dying_after_the_crown_costs_neither_its_line_nor_the_keep_warm_time() -> None:
    world = with_rollout(World(), keep_warm=5_000.0)
    old = world.crowned(0.8)
    world.now += 6_000
    new = world.train(0.9)
    to_weight(world, new, 100)

    def at(verb: str, when: str) -> None:
        if verb == "crown" and when == "after":
            raise Died

    with pytest.raises(Died):
        world.rest(tapped(world, at))
    world.now += 30
    world.rest(until=world.now + 100)
    assert ready(world, "api") == [old, new]
    assert [line.version for line in world.lines("crowned")] == [old, new]


def test_dying_after_a_roll_back_does_not_condemn_the_second_try() -> None:
    world = World()
    world.crowned(0.8)
    version = world.train(0.9)
    world.deployer.faults.fail("launch", Terminal("no such instance type"))
    seen: list[str] = []

    def at(verb: str, when: str) -> None:
        if verb == "challenge" and when == "after":
            seen.append(verb)
            if len(seen) == 2:
                raise Died

    with pytest.raises(Died):
        world.rest(tapped(world, at))
    world.now += 60
    world.rest()
    world.registry.rejudge(MODEL, version)
    world.rest()
    assert world.champion() == version


def test_a_slow_worker_does_not_give_away_the_slot_of_another() -> None:
    world = World()
    world.train(0.8)
    nominated: list[int] = []

    def at(verb: str, when: str) -> None:
        if verb == "of" and when == "before" and not nominated:
            nominated.append(1)
            world.registry.hold(MODEL, None)
            other = world.worker()
            while world.registry.read(MODEL).challenger is None:
                world.wake(other)

    world.registry.hold(MODEL, "ana")
    world.wake(tapped(world, at))
    assert holders(world.ledger) == (MODEL,)


def test_what_was_seen_of_versions_that_are_gone_is_forgotten() -> None:
    world = World(policy=replace(World().policy, min_age=10_000.0))
    for _ in range(6):
        number = world.train(0.8)
        world.rest()
        world.registry.delete_version(MODEL, number)
    world.rest()
    stored = world.ledger.load(MODEL)
    assert stored is not None
    assert len(from_json(stored.body).first_seen) <= 1


def test_a_model_at_rest_is_not_due_again_and_again() -> None:
    world = World()
    world.crowned(0.8)
    assert world.wake().step.reason == "nothing_to_do"
    assert world.ledger.due(world.now + 1e9) == []


def test_a_model_named_like_the_record_of_the_pause_neither_pauses_nor_resumes() -> None:
    world = World()
    world.registry.create_version("#pause", {"auc": 0.8}, example=Example(b"{}", rows=1))
    place = replace(world.targets[0], model="#pause", place="fake:other")
    named = replace(world.watched, name="#pause", targets=(place,))
    loop = world.worker()
    for _ in range(60):
        woken = loop.wake(named)
        world.now = max(world.now, woken.again or world.now) + 0.01
    assert world.registry.read("#pause").champion == 1
    assert not paused(world.ledger)
    set_paused(world.ledger, "ana", on=True, now=world.now)
    assert loop.wake(named).step.reason == "paused"
    assert paused(world.ledger)
    assert world.ledger.load(key_of("#pause")) is not None


def test_a_target_taken_out_of_the_settings_is_told_once_and_left_alone() -> None:
    world = World(targets=(target("api"), target("eu")))
    version = world.crowned(0.8)
    both, world.targets = world.targets, (target("api"),)
    world.rest()
    # Something else to write down: by itself a line that is told again is not kept.
    world.train(0.7)
    world.rest()
    (told,) = [line for line in world.lines("told") if line.reason == "target_left"]
    assert told.target == "eu"
    assert told.data is not None
    assert told.data["weights"] == {str(version): 100}
    world.targets = both
    assert world.serving("eu") == {version: 100}
    world.rest()
    world.targets = both[:1]
    world.rest()
    assert len([line for line in world.lines("told") if line.reason == "target_left"]) == 2


@pytest.mark.parametrize("wiped", [False, True], ids=["ledger kept", "ledger wiped"])
@pytest.mark.parametrize("dangling", [True, False])
def test_a_challenger_deleted_in_its_rollout_goes_back_whether_or_not_its_mark_went_with_it(
    dangling: bool, wiped: bool
) -> None:
    world = World()
    world.registry.dangling = dangling
    champion = world.crowned(0.8)
    new = world.train(0.9)
    to_weight(world, new, 10)
    world.registry.delete_version(MODEL, new)
    if wiped:
        world.ledger.wipe()
    world.rest()
    assert world.serving() == {champion: 100}
    # With mark, version and memory gone nobody knows that there was a rollout.
    known = dangling or not wiped
    assert [line.reason for line in world.lines("rolled_back")] == ["challenger_gone"] * known
    assert holders(world.ledger) == ()


def test_a_model_created_again_before_anything_was_crowned_is_judged_from_its_first_version_on() -> None:
    world = World()
    world.train(0.1)
    world.rest()
    world.registry.delete_model(MODEL)
    first = world.train(0.8)
    world.rest()
    assert world.champion() == first


def test_an_ordered_version_that_was_never_judged_gets_its_verdict_when_orders_follow_quickly() -> None:
    world = with_rollout(World(), keep_warm=0.0)
    world.crowned(0.8)
    orders = [world.train(0.1), world.train(0.1), world.train(0.1)]
    loop = world.worker()
    for version in orders:
        world.registry.set_alias(MODEL, "champion", version)
        while (crown := world.registry.read(MODEL).crown) is None or crown.crowned != version:
            world.wake(loop)
    world.rest()
    assert [world.call(version) for version in orders[:-1]] == [Call.DISPLACED, Call.DISPLACED]


def test_an_order_that_cannot_be_written_down_is_tried_again_with_pauses_and_told_once() -> None:
    world = World()
    first = world.crowned(0.8)
    world.crowned(0.9)
    world.registry.set_alias(MODEL, "champion", first)
    world.registry.fail("write_crown", Transient("503"), times=4)
    world.rest()
    assert [line.version for line in world.lines("order")] == [first]
    failed = [line.at for line in world.lines("failed")]
    assert len(failed) == 4
    assert all(later - at >= pause for at, later, pause in zip(failed, failed[1:], (0.5, 1.0, 2.0), strict=False))
    assert world.serving() == {first: 100}


def test_that_an_order_is_impossible_is_told_once_even_where_its_tag_cannot_be_written() -> None:
    world = World()
    first = world.crowned(0.8)
    impossible = world.train(0.9)
    world.deployer.broken[impossible] = "no such artifacts"
    world.registry.set_alias(MODEL, "champion", impossible)
    world.registry.fail("tag", Transient("503"), times=4)
    world.rest()
    assert len(world.lines("failed")) == 4
    assert [line.version for line in world.lines("unmet")] == [impossible]
    assert world.serving() == {first: 100}


def test_a_version_that_is_crowned_for_the_second_time_has_its_line_even_if_the_worker_dies_after_it() -> None:
    world = World()
    first = world.crowned(0.8)
    second = world.crowned(0.9)
    world.registry.set_alias(MODEL, "champion", first)
    world.rest()
    world.registry.rejudge(MODEL, second)

    def at(verb: str, when: str) -> None:
        if verb == "crown" and when == "after":
            raise Died

    with pytest.raises(Died):
        world.rest(tapped(world, at))
    world.now += 30
    world.rest()
    assert [line.version for line in world.lines("crowned")] == [first, second, second]


def test_the_old_release_is_kept_warm_from_when_a_slow_crowning_was_written() -> None:
    world = with_rollout(World(), keep_warm=60.0)
    old = world.crowned(0.8)
    world.now += 100
    new = world.train(0.9)
    to_weight(world, new, 100)

    def at(verb: str, when: str) -> None:
        if verb == "crown" and when == "before":
            world.now += 4.0

    loop = tapped(world, at)
    while world.champion() != new:
        woken = world.wake(loop)
        world.now = world.now if woken.acted else max(world.now, woken.again or world.now)
    crowned = world.now
    world.rest(until=crowned + 58.0)
    world.now = max(world.now, crowned + 58.0)
    world.rest(until=crowned + 58.0)
    assert ready(world, "api") == [old, new]


def test_a_release_that_was_lost_is_probed_again_even_if_the_worker_dies_after_its_launch() -> None:
    world = World(targets=(target("api"), target("eu")))
    world.crowned(0.8)
    new = world.train(0.9)
    loop = world.worker()
    while not world.serving("api").get(new):
        woken = world.wake(loop)
        world.now = world.now if woken.acted else max(world.now, woken.again or world.now)
    place = world.targets[1]
    (name,) = [release.name for release in world.deployer.look(place).releases if release.version == new]
    world.deployer.lose(place, name)

    def at(verb: str, when: str) -> None:
        if verb == "launch" and when == "after":
            raise Died

    with pytest.raises(Died):
        world.rest(tapped(world, at))
    world.deployer.mute[new] = "it raises"
    world.now += 30
    world.rest()
    assert world.call(new) is Call.ROLLED_BACK
    shares = [line.data["weights"] for line in world.lines("live") if line.target == "eu" and line.data]
    assert all(str(new) not in share for share in shares)


def test_a_nomination_whose_worker_died_keeps_its_slot_while_the_registry_may_be_stale() -> None:
    world = World()
    world.registry.staleness = 5.0
    world.train(0.8)
    world.wake()
    world.now += 30

    def at(verb: str, when: str) -> None:
        if verb == "challenge" and when == "after":
            raise Died

    with pytest.raises(Died):
        world.rest(tapped(world, at))
    world.now += 30
    assert world.wake().step.reason == "stale_read"
    assert holders(world.ledger) == (MODEL,)


@pytest.mark.parametrize(("verb", "reason"), [("launch", "launching"), ("probe", "probing")])
def test_a_step_that_goes_on_is_taken_further_at_once_and_never_counted_as_failed(verb: str, reason: str) -> None:
    world = World()
    world.crowned(0.8)
    two = world.train(0.9)
    world.deployer.faults.fail(verb, UnderWay("3 of 9 MB are there", 2.0), times=40)
    began, loop = world.now, world.worker()
    waits: set[tuple[str, str]] = set()
    while world.champion() != two:
        woken = world.wake(loop)
        assert not woken.failed, world.tail()
        if not woken.acted:
            waits.add((woken.step.reason, woken.step.detail))
            world.now = max(world.now, woken.again or 0.0)
    assert (reason, "v2 on api: 3 of 9 MB are there") in waits
    assert not {"backoff", "no_example"} & {reason for reason, _ in waits}
    told = world.lines("under_way")
    assert [(line.data or {})["detail"] for line in told] == ["3 of 9 MB are there"] * 40
    assert told[-1].at - began < 150.0, "the pauses do not grow"
    assert not world.lines("failed")


def test_a_probe_that_failed_is_tried_again_and_no_example_is_said_to_be_missing_meanwhile() -> None:
    world = World()
    world.crowned(0.8)
    world.train(0.9)
    world.deployer.faults.fail("probe", Transient("no answer"), times=9)
    assert world.rest()
    assert world.champion() == 2
    assert len(world.lines("failed")) == 9
    assert "no_example" not in {line.reason for line in world.lines("told")}
