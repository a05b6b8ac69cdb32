"""The traces that a design without DESIGN.md's rules ran into, each as it would happen here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.loop.invariants import Invariants
from tests.loop.tap import tapped
from tests.loop.world import MODEL, Died, World, target, to_weight, with_rollout
from watcher.values import Call


def die_after(world: World, verb: str, nth: int = 1) -> None:
    """Let a worker die right after its `nth` call of a verb."""
    left = nth

    def at(called: str, when: str) -> None:
        nonlocal left
        if called == verb and when == "after":
            left -= 1
            if left == 0:
                raise Died

    with pytest.raises(Died):
        world.rest(tapped(world, at))


def test_a_crowning_whose_record_was_lost_is_not_read_back_as_an_order_to_the_old_version() -> None:
    world = World()
    old = world.crowned(0.8)
    new = world.train(0.9)
    to_weight(world, new, 100)
    world.now += world.rollout.bake
    world.registry.fail("crown", Died(), "between")
    with pytest.raises(Died):
        world.rest()
    assert world.champion() == new
    world.ledger.wipe()
    world.rest()
    crown = world.registry.read(MODEL).crown
    assert world.champion() == new
    assert world.serving() == {new: 100}
    assert crown is not None
    assert (crown.crowned, crown.previous, crown.floor) == (new, old, old)
    assert world.lines("order") == []


def test_a_worker_that_read_its_targets_before_anothers_crown_cannot_shift_back() -> None:
    world = World(atomic=False)
    world.crowned(0.8)
    new = world.train(0.9)
    to_weight(world, new, 50)
    invariants = Invariants(world)
    asked: list[int] = []

    def at(verb: str, when: str) -> None:
        if verb == "observe" and when == "after" and not asked:
            asked.append(1)
            world.now += 60
            world.rest(world.worker(), until=world.now + 100)

    world.wake(tapped(world, at))
    world.rest()
    assert world.champion() == new
    assert world.serving() == {new: 100}
    invariants.at_rest()


def test_a_worker_that_saw_drift_before_anothers_crown_cannot_shift_back() -> None:
    world = with_rollout(World(atomic=False), keep_warm=10_000.0)
    old = world.crowned(0.8)
    new = world.train(0.9)
    to_weight(world, new, 50)
    names = {release.version: release.name for release in world.deployer.look(world.targets[0]).releases}
    world.deployer.meddle(world.targets[0], {names[old]: 70, names[new]: 30})
    asked: list[int] = []

    def at(verb: str, when: str) -> None:
        if verb == "observe" and when == "after" and not asked:
            asked.append(1)
            world.now += 12  # the lease is over; the wake-up's own time is not
            world.rest(world.worker(), until=world.now + 80)

    world.wake(tapped(world, at))
    assert world.champion() == new
    assert world.serving() == {new: 100}


def test_a_persons_order_is_not_undone_by_a_crown_in_flight() -> None:
    world = with_rollout(World(), keep_warm=10_000.0)
    first = world.crowned(0.8)
    world.crowned(0.85)
    third = world.train(0.9)
    to_weight(world, third, 100)
    world.now += world.rollout.bake
    ordered: list[int] = []

    def at(verb: str, when: str) -> None:
        if verb == "crown" and when == "before" and not ordered:
            ordered.append(1)
            world.registry.set_alias(MODEL, "champion", first)

    world.rest(tapped(world, at))
    assert ordered
    world.rest()
    assert world.champion() == first
    assert world.serving() == {first: 100}


def test_a_wiped_ledger_does_not_ship_a_version_that_was_rolled_back() -> None:
    world = World()
    champion = world.crowned(0.8)
    bad = world.train(0.9)
    world.deployer.mute[bad] = "it raises"
    world.rest()
    world.deployer.mute.clear()
    world.registry.delete_tag(MODEL, bad, "watcher.verdict")
    world.ledger.wipe()
    launches = list(world.deployer.launches)
    world.rest()
    assert world.champion() == champion
    assert world.deployer.launches == launches
    assert world.call(bad) is Call.SUPERSEDED


def test_two_versions_do_not_chase_each_other_when_evidence_changes() -> None:
    world = with_rollout(World(), keep_warm=0.0)
    first = world.crowned(0.8)
    second = world.crowned(0.9)
    world.registry.log_metric(MODEL, first, "auc", 0.99)
    world.rest()
    world.registry.log_metric(MODEL, second, "auc", 0.1)
    world.now += 4_000
    world.rest()
    assert world.champion() == second
    assert world.serving() == {second: 100}


def test_a_crash_after_a_shift_does_not_count_the_old_steps_bake() -> None:
    world = World()
    world.crowned(0.8)
    new = world.train(0.9)
    invariants = Invariants(world)
    to_weight(world, new, 10)
    die_after(world, "shift")
    assert world.serving()[new] == 50
    invariants.look()
    shifted = world.now
    to_weight(world, new, 100)
    assert world.now - shifted >= world.rollout.bake
    invariants.look()


def test_an_order_that_fails_on_one_target_does_not_leave_two_versions_live() -> None:
    world = with_rollout(World(targets=(target("api"), target("eu"))), keep_warm=10_000.0)
    world.crowned(0.8)
    champion = world.crowned(0.9)
    ordered = world.train(0.1)
    world.rest()
    world.registry.set_alias(MODEL, "champion", ordered)
    world.wake()
    world.wake()
    world.now += 5
    to_weight(world, ordered, 100)
    world.deployer.broken[ordered] = "no such artifacts"
    world.rest()
    assert world.serving("api") == world.serving("eu") == {champion: 100}
    assert world.call(ordered) is Call.UNMET
    assert world.champion() == ordered


def test_an_alias_moved_to_the_challenger_in_mid_canary_is_a_person_who_agrees() -> None:
    world = World()
    old = world.crowned(0.8)
    new = world.train(0.9)
    to_weight(world, new, 10)
    waiting = world.train(0.95)
    world.registry.set_alias(MODEL, "champion", new)
    world.rest()
    assert world.serving()[world.champion() or 0] == 100
    crown = world.registry.read(MODEL).crown
    assert crown is not None
    assert crown.floor in (old, new)
    assert world.champion() == waiting


def test_a_stale_read_of_the_crown_waits_and_is_not_obeyed() -> None:
    world = with_rollout(World(), keep_warm=10_000.0)
    world.registry.staleness = 5.0
    world.crowned(0.8)
    new = world.crowned(0.9)
    world.now += 10
    world.rest()
    world.registry.stale_writes = 6
    for _ in range(3):
        world.wake()
        world.now += 1
    world.registry.stale_writes = 0
    world.now += 20
    world.rest()
    assert world.champion() == new
    assert world.serving() == {new: 100}
    assert world.lines("order") == []


def test_a_partial_listing_skips_no_version() -> None:
    world = World()
    world.crowned(0.8)
    versions = [world.train(0.7) for _ in range(5)]
    whole = world.registry.listing
    world.registry.listing = lambda _, rows: list(rows)[:2]
    world.wake()
    world.wake()
    world.registry.listing = whole
    world.now += 10
    world.rest()
    assert [world.call(v) for v in versions] == [Call.LOSES] * 5


def test_an_empty_listing_of_versions_takes_nothing_down() -> None:
    world = World()
    champion = world.crowned(0.8)
    world.registry.listing = lambda *_: []
    world.rest()
    assert world.serving() == {champion: 100}
    assert world.champion() == champion


def test_only_so_many_models_roll_out_at_once() -> None:
    world = World()
    world.limits = replace(world.limits, rollouts_at_once=0)
    version = world.train(0.8)
    loop = world.worker()
    for _ in range(5):
        world.wake(loop)
        world.now += 11
    assert world.registry.read(MODEL).challenger is None
    assert world.lines("told")[-1].reason == "slots_full"
    world.limits = replace(world.limits, rollouts_at_once=1)
    world.rest()
    assert world.champion() == version
