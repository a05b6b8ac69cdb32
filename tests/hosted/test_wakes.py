"""Timers and the queue: what is woken, and that nothing is lost or done twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

import deployers
from tests.hosted.world import Hosted
from tests.notify.test_outbox import Service
from watcher import heartbeat
from watcher.errors import Conflict, Transient
from watcher.heartbeat import Beat, last
from watcher.hosted import wakes
from watcher.hosted.host import DEADLINE
from watcher.news import News
from watcher.outbox import Outbox
from watcher.pause import set_paused


def drain(hosted: Hosted, names: list[str], most: int = 200) -> int:
    """Wake what is named, and what each wake-up names; how many wake-ups that took."""
    count = 0
    while names:
        count += 1
        assert count < most, "no end"
        names = [*names[1:], *wakes.wake(hosted.host, names[0].encode())]
    return count


def minutes(hosted: Hosted, most: int) -> None:
    """The timer fires, and the queue is drained, once a minute."""
    for _ in range(most):
        drain(hosted, wakes.poll(hosted.host))
        hosted.now += 60.0


def test_the_timer_and_the_queue_take_a_version_to_its_target(hosted: Hosted) -> None:
    version = hosted.train()
    minutes(hosted, 5)
    assert hosted.registry.read("churn").champion == version
    better = hosted.train(0.9)
    minutes(hosted, 6)
    assert hosted.registry.read("churn").champion == better
    assert [placed.version for placed in hosted.deployer.places["local-endpoint:127.0.0.1:5001"].releases.values()] == [
        better
    ]


def test_at_rest_the_timer_wakes_nothing(hosted: Hosted) -> None:
    hosted.train()
    minutes(hosted, 8)
    assert wakes.poll(hosted.host) == []


def test_a_model_is_woken_again_only_after_a_step_was_taken(hosted: Hosted) -> None:
    hosted.train()
    names = wakes.poll(hosted.host)
    assert names == ["churn"]
    seen = []
    while names:
        seen.append(names)
        names = wakes.wake(hosted.host, b"churn")
    lines = hosted.ledger.history("churn", event="intent", most=100)
    assert len(seen) == len(lines) + 1, "as many wake-ups as steps, and the one that found nothing to do"


@pytest.mark.parametrize(
    "junk", [b"", b"\xff\xfe", b"nobody", b"#pause", b"churn\x00", b"c" * 100_000, b"'; DROP TABLE record; --"]
)
def test_a_message_that_names_no_watched_model_is_dropped(hosted: Hosted, junk: bytes) -> None:
    hosted.train()
    assert wakes.wake(hosted.host, junk) == []
    assert hosted.ledger.history(most=10) == []


def test_a_model_out_of_reach_is_due_again_by_itself(hosted: Hosted) -> None:
    hosted.train()
    hosted.registry.fail("read", Transient("no answer"))
    assert wakes.wake(hosted.host, b"churn") == []
    assert hosted.ledger.due(hosted.now) == []
    assert hosted.ledger.due(hosted.now + 60.0) == ["churn"]
    assert wakes.wake(hosted.host, b"churn") == ["churn"]


def test_a_ledger_out_of_reach_brings_the_message_back(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Transient("no answer")

    monkeypatch.setattr(hosted.ledger, "save", refuse)
    monkeypatch.setattr(hosted.ledger, "load", refuse)
    with pytest.raises(Transient):
        wakes.wake(hosted.host, b"churn")


def test_a_registry_out_of_reach_keeps_nothing_that_is_due_from_being_woken(hosted: Hosted) -> None:
    hosted.train()
    wakes.poll(hosted.host)
    wakes.postpone(hosted.ledger, "churn", hosted.now, 5.0)
    hosted.now += 10.0
    hosted.registry.fail("changed", Transient("no answer"))
    hosted.registry.fail("marks", Transient("no answer"))
    assert wakes.poll(hosted.host) == ["churn"]
    assert last(hosted.ledger) == Beat(hosted.now, hosted.now + 180.0 - hosted.now % 60.0)


def test_postponing_never_undoes_what_somebody_else_wrote(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    hosted.train()
    wakes.wake(hosted.host, b"churn")
    before = hosted.ledger.load("churn")

    def faster(*_: object, **__: object) -> None:
        raise Conflict("somebody else was faster")

    monkeypatch.setattr(hosted.ledger, "save", faster)
    wakes.postpone(hosted.ledger, "churn", hosted.now, 5.0)
    assert hosted.ledger.load("churn") == before


def test_the_resync_wakes_every_watched_model_there_is(hosted: Hosted) -> None:
    hosted.train(model="churn")
    hosted.train(model="fraud.cards")
    hosted.train(model="weather")
    assert wakes.resync(hosted.host) == ["churn", "fraud.cards"]


def test_every_wake_up_has_a_worker_of_its_own_so_that_a_repeated_message_is_held_off_by_the_lease(
    hosted: Hosted,
) -> None:
    assert hosted.host.loop().worker != hosted.host.loop().worker


@pytest.mark.parametrize(
    ("schedule", "age", "old"),
    [
        ("0 * * * * *", 0.0, False),
        ("0 * * * * *", 119.0, False),
        ("0 * * * * *", 181.0, True),
        ("*/5 * * * *", 600.0, False),
        ("*/5 * * * *", 901.0, True),
    ],
)
def test_a_heartbeat_older_than_three_schedules_is_stale(schedule: str, age: float, *, old: bool) -> None:
    now = 1_800_000_000.0
    assert heartbeat.stale(now - age, schedule, now) is old


def test_no_heartbeat_at_all_is_stale(hosted: Hosted) -> None:
    assert hosted.hooks.health().status == 503
    wakes.poll(hosted.host)
    hosted.now += 10.0
    assert hosted.hooks.health().text == "ok"


def test_a_schedule_that_is_none_makes_the_health_stale_and_is_no_crash(hosted: Hosted) -> None:
    hosted.environ["WATCHER_POLL_SCHEDULE"] = "every five minutes"
    wakes.poll(hosted.host)
    assert hosted.hooks.health().status == 503


def test_what_a_queue_message_did_is_told_once_though_it_is_delivered_again(hosted: Hosted) -> None:
    service = Service()
    loop = hosted.host.app.loop
    outbox = Outbox(hosted.ledger, service, frozenset(News), hosted.clock)
    hosted.host = replace(hosted.host, _app=replace(hosted.host.app, loop=replace(loop, outbox=outbox)))
    version = hosted.train()
    minutes(hosted, 5)
    for _ in range(3):
        wakes.wake(hosted.host, b"churn")
    assert hosted.registry.read("churn").champion == version
    assert [title for _, title, _ in service.got] == ["churn: a version won", "churn: the champion changed"]


def test_what_a_poll_found_before_the_ledger_failed_is_handed_on_by_the_next_one(hosted: Hosted) -> None:
    hosted.train()
    minutes(hosted, 8)
    better = hosted.train(0.9)
    hosted.ledger.fail("due", Transient("no answer"))
    with pytest.raises(Transient):
        wakes.poll(hosted.host)
    minutes(hosted, 6)
    assert hosted.registry.read("churn").champion == better


@pytest.mark.parametrize("races", [1, 2, 10])
def test_a_message_that_loses_every_race_is_not_spent(hosted: Hosted, races: int) -> None:
    version = hosted.train()
    hosted.ledger.fail("save", Conflict("somebody was faster"), times=races, key="churn")
    drain(hosted, ["churn"])
    hosted.now += 60.0
    assert hosted.registry.read("churn").champion == version


@pytest.mark.parametrize("restarted", [False, True])
def test_an_order_given_in_a_pause_is_carried_out_by_the_timer_once_the_pause_ends(
    hosted: Hosted, *, restarted: bool
) -> None:
    hosted.train()
    minutes(hosted, 8)
    other = hosted.train(0.7)
    minutes(hosted, 8)
    set_paused(hosted.ledger, "ana", on=True, now=hosted.now)
    hosted.registry.set_alias("churn", "champion", other)
    minutes(hosted, 5)
    before = hosted.registry.read("churn").crown
    assert before is not None
    assert before.crowned != other
    if restarted:
        hosted.host = hosted.process()
    set_paused(hosted.ledger, "ana", on=False, now=hosted.now)
    minutes(hosted, 2)
    crown = hosted.registry.read("churn").crown
    assert crown is not None
    assert (crown.crowned, crown.met) == (other, True)


def test_a_webhook_that_comes_in_a_pause_counts_after_it(hosted: Hosted) -> None:
    hosted.train()
    minutes(hosted, 8)
    set_paused(hosted.ledger, "ana", on=True, now=hosted.now)
    better = hosted.train(0.9)
    drain(hosted, [*wakes.poll(hosted.host), "churn"])
    minutes(hosted, 2)
    set_paused(hosted.ledger, "ana", on=False, now=hosted.now)
    minutes(hosted, 6)
    assert hosted.registry.read("churn").champion == better


@pytest.mark.parametrize("same", [True, False], ids=["the same process", "another process"])
def test_a_model_whose_message_was_lost_on_the_way_is_found_by_a_later_poll(hosted: Hosted, same: bool) -> None:
    hosted.train()
    minutes(hosted, 6)
    better = hosted.train(0.9)
    assert wakes.poll(hosted.host) == ["churn"]  # and what takes it to the queue fails
    if not same:
        hosted.host = hosted.process()
    hosted.now += 60.0
    minutes(hosted, 6)
    assert hosted.registry.read("churn").champion == better


def test_a_model_that_was_woken_is_not_found_again(hosted: Hosted) -> None:
    hosted.train()
    minutes(hosted, 6)
    hosted.train(0.1)
    drain(hosted, wakes.poll(hosted.host))
    for _ in range(3):
        hosted.now += 60.0
        assert wakes.poll(hosted.host) == []


def test_a_poll_leaves_the_record_of_a_step_that_is_under_way_alone(hosted: Hosted) -> None:
    hosted.train()
    wakes.wake(hosted.host, b"churn")
    stored = hosted.ledger.load("churn")
    assert stored is not None
    body = {**stored.body, "intent": {"worker": "w1", "until": hosted.now + 90.0, "step": "launch:api"}}
    hosted.ledger.save("churn", body, stored.revision, due=hosted.now + 90.0)
    before = hosted.ledger.load("churn")
    hosted.train(0.9)
    assert wakes.poll(hosted.host) == ["churn"]
    assert hosted.ledger.load("churn") == before


@pytest.mark.parametrize("kind", sorted(deployers.KINDS))
def test_a_verb_of_every_kind_fits_into_a_wake_up_of_the_app_beside_a_look_at_the_world(kind: str) -> None:
    assert deployers.load(kind)(None).lease + 20.0 <= DEADLINE
