"""Everybody is told once: however often a wake-up repeats, whoever dies, and whichever service does not answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.loop.tap import Tap
from tests.loop.world import MODEL, Died, World
from tests.notify.test_news import line
from watcher.errors import Transient
from watcher.news import News
from watcher.outbox import GIVEN_UP, MOST, Outbox, soonest
from watcher.ports import Line
from watcher.record import Record, from_json


@dataclass
class Service:
    """Keeps what it is sent; refuses at the addresses in `down`."""

    addresses: int = 1
    patience: float = 0.0
    down: set[int] = field(default_factory=set)
    got: list[tuple[int, str, str]] = field(default_factory=list)
    sending: Callable[[], None] = lambda: None
    """Called while a message is under way."""

    def send(self, title: str, body: str, to: Sequence[int]) -> Collection[int]:
        self.sending()
        arrived = [address for address in to if address not in self.down]
        self.got += [(address, title, line) for address in arrived for line in body.splitlines()]
        return arrived

    def told(self, address: int = 0) -> list[str]:
        return [text for at, _, text in self.got if at == address]


def story(world: World, service: Service, wake: Callable[[], Any] | None = None) -> None:
    """A first champion, a better one that breaks in its probe, a worse one, and a person's order."""
    rest = wake or (lambda: world.rest(world.worker(messenger=service)))
    first = world.train(0.8)
    rest()
    broken = world.train(0.9)
    world.deployer.mute[broken] = "it raises ValueError"
    rest()
    world.train(0.7)
    rest()
    better = world.train(0.95)
    rest()
    world.registry.set_champion(MODEL, first)
    rest()
    assert (world.champion(), better) == (first, 4)


EXPECTED = [
    "version 1 wins", "version 1 is the champion now", "version 2 wins", "version 2 was rolled back", "version 3 loses",
    "version 4 wins", "version 4 is the champion now", "a person made version 1 the champion",
]  # fmt: skip


def which(told: list[str]) -> list[str]:
    """The beginnings that are expected, as they were told."""
    return [next(e for e in EXPECTED if text.startswith(f"{MODEL}: {e}")) for text in told]


def outbox_of(world: World) -> dict[str, Any]:
    stored = world.ledger.load(MODEL)
    assert stored is not None
    return dict(from_json(stored.body).outbox)


def test_each_event_is_told_once_in_its_order_and_nothing_is_left() -> None:
    world, service = World(), Service()
    story(world, service)
    assert which(service.told()) == EXPECTED
    assert outbox_of(world) == {}


def test_at_rest_nothing_is_told_however_often_it_is_woken() -> None:
    world, service = World(), Service()
    story(world, service)
    for _ in range(20):
        world.now += 3_600.0
        world.wake(world.worker(messenger=service))
    assert which(service.told()) == EXPECTED


def test_the_titles_name_the_model_and_what_happened() -> None:
    world, service = World(), Service()
    world.train(0.8)
    world.rest(world.worker(messenger=service))
    assert [title for _, title, _ in service.got] == [f"{MODEL}: a version won", f"{MODEL}: the champion changed"]


def test_notifying_changes_nothing_of_what_is_done() -> None:
    told, silent = World(), World()
    story(told, Service())
    story(silent, Service(), silent.rest)
    steps = [[(x.event, x.version, x.target, x.reason) for x in world.lines()] for world in (told, silent)]
    assert steps[0] == steps[1]


def first(world: World, _: Service, wake: Callable[[], Any]) -> None:
    """A first champion, and no more."""
    world.train(0.8)
    wake()


def dies_everywhere(tale: Callable[[World, Service, Callable[[], Any]], None], expected: list[str]) -> None:
    world, service, calls = World(), Service(), Counter[str]()
    tale(world, service, lambda: world.rest(_worker(world, service, calls, None)))
    whole = calls.total()
    assert which(service.told()) == expected
    again = 0
    for death in range(whole):
        world, service, calls = World(), Service(), Counter[str]()
        tale(world, service, lambda w=world, s=service, c=calls, d=death: _stubborn(w, s, c, d))  # type: ignore[misc]
        told = Counter(which(service.told()))
        assert set(told) == set(expected), f"lost after a death at call {death}"
        assert max(told.values()) <= 2, f"told again and again after a death at call {death}"
        again += told.total() > len(told)
    # Before and after the load or the save by which the sending is written down.
    assert 0 < again <= 2 * len(expected), "told twice only after a death right behind the sending"


def test_wherever_a_worker_dies_everything_is_told_and_twice_only_right_behind_the_sending() -> None:
    dies_everywhere(first, EXPECTED[:2])


@pytest.mark.long
def test_wherever_a_worker_dies_in_a_long_story_everything_is_told() -> None:
    dies_everywhere(story, EXPECTED)


def _worker(world: World, service: Service, calls: Counter[str], death: int | None) -> Any:
    def at(verb: str, _: str) -> None:
        if verb in ("load", "save"):
            calls[verb] += 1
            if calls.total() - 1 == death:
                raise Died

    return world.worker(ledger=Tap(world.ledger, at), messenger=service)


def _stubborn(world: World, service: Service, calls: Counter[str], death: int) -> None:
    """A worker that dies once, and another one a while later."""
    for _ in range(3):
        try:
            world.rest(_worker(world, service, calls, death))
        except Died:
            world.now += 120.0
            continue
        stored = world.ledger.load(MODEL)
        if stored is None or not from_json(stored.body).outbox:
            return
        world.now += 120.0


def test_two_workers_of_one_model_tell_nothing_twice() -> None:
    world, service = World(), Service()
    other = world.worker(messenger=service)
    busy: list[int] = []

    def meanwhile() -> None:
        if not busy:
            busy.append(1)
            world.rest(other, most=60, until=world.now + 1.0)
            busy.clear()

    service.sending = meanwhile
    story(world, service, lambda: world.rest(world.worker(messenger=service)))
    world.now += 120.0
    world.rest(world.worker(messenger=service))
    assert Counter(which(service.told())) == Counter(EXPECTED)
    assert outbox_of(world) == {}


def test_a_service_that_is_away_is_told_later_and_the_others_only_once() -> None:
    world, service = World(), Service(addresses=2, down={1})
    world.train(0.8)
    world.rest(world.worker(messenger=service), most=100, until=world.now + 30.0)
    assert (len(service.told(0)), service.told(1)) == (2, [])
    service.down.clear()
    for _ in range(10):
        world.now += 700.0
        world.wake(world.worker(messenger=service))
    assert len(service.told(0)) == 2
    assert sorted(service.told(1)) == sorted(service.told(0))
    assert outbox_of(world) == {}


def test_services_that_answer_slowly_one_after_the_other_keep_a_wake_up_twice_their_patience_at_most() -> None:
    world, service = World(), Service(addresses=3, patience=10.0, down={1})
    world.train(0.8)
    world.rest(world.worker(messenger=service), most=100, until=world.now + 30.0)
    service.down = {0, 1, 2}
    world.train(0.9)
    world.rest(world.worker(messenger=service), most=100, until=world.now + 30.0)
    world.now += 700.0
    calls: list[float] = []

    def hangs() -> None:
        calls.append(world.now)
        world.now += 10.5

    service.sending = hangs
    world.wake(world.worker(messenger=service))
    assert len(calls) == 1, "what is left of the news waits for the next wake-up"


def test_a_model_with_unsent_news_is_due_and_one_without_is_not() -> None:
    world, service = World(), Service(down={0})
    world.train(0.8)
    world.rest(world.worker(messenger=service), most=100, until=world.now + 30.0)
    assert world.ledger.due(world.now + 61.0) == [MODEL]
    service.down.clear()
    for _ in range(5):
        world.now += 700.0
        world.wake(world.worker(messenger=service))
    world.rest(world.worker(messenger=service))
    assert world.ledger.due(world.now + 30_000.0) == []


def test_what_never_arrives_is_dropped_after_a_day() -> None:
    world, service = World(), Service(down={0})
    world.train(0.8)
    world.rest(world.worker(messenger=service), most=100, until=world.now + 30.0)
    world.now += GIVEN_UP + 10.0
    for _ in range(3):
        world.now += 700.0
        world.wake(world.worker(messenger=service))
    service.down.clear()
    world.now += 700.0
    world.wake(world.worker(messenger=service))
    assert service.told() == []
    assert outbox_of(world) == {}


def test_a_ledger_that_fails_while_it_is_told_fails_no_wake_up() -> None:
    world, service = World(), Service()
    world.train(0.8)

    class Failing:
        def load(self, key: str) -> Any:
            if key.startswith("#news:"):
                raise Transient("the ledger is away")
            return world.ledger.load(key)

        def __getattr__(self, name: str) -> Any:
            return getattr(world.ledger, name)

    worker = world.worker(messenger=service, ledger=Failing())
    woken = world.wake(worker)
    assert woken.acted
    assert service.told() == []
    world.now += 120.0
    world.rest(world.worker(messenger=service))
    assert len(service.told()) == 2


def test_nobody_to_notify_leaves_nothing_behind() -> None:
    world = World()
    world.train(0.8)
    world.rest()
    assert outbox_of(world) == {}


def test_where_nobody_is_notified_any_more_what_waited_is_dropped() -> None:
    world = World()
    world.train(0.8)
    world.rest(world.worker(messenger=Service(down={0})), most=100, until=world.now + 30.0)
    assert outbox_of(world) != {}
    world.now += 120.0
    world.rest()
    assert outbox_of(world) == {}
    assert world.ledger.due(world.now + 30_000.0) == []


def test_the_outbox_of_one_model_is_bounded() -> None:
    world = World()
    outbox = Outbox(world.ledger, Service(), frozenset(News), world.clock)
    record = outbox.noted(Record(born=0.0), [line("verdict", call="wins")])
    assert outbox.noted(record, [line("verdict", call="wins")]) is record, "the same line is noted once"
    many = [replace(line("verdict", call="wins"), at=float(n), version=n) for n in range(10, 10 + 3 * MOST)]
    kept = outbox.noted(record, many).outbox
    assert len(kept) == MOST
    assert min(each.at for each in kept.values()) == float(10 + 2 * MOST)


@pytest.mark.parametrize(("due", "expected"), [(None, 160.0), (500.0, 160.0), (120.0, 120.0)])
def test_unsent_news_have_the_model_looked_at_within_a_minute(due: float | None, expected: float) -> None:
    outbox = Outbox(World().ledger, Service(), frozenset(News), lambda: 100.0)
    record = outbox.noted(Record(born=0.0), [line("unmet")])
    assert soonest(record, 100.0, due) == expected
    assert soonest(Record(born=0.0), 100.0, due) == due


def test_a_roll_back_that_waits_is_not_pushed_out_by_what_won_or_lost(caplog: pytest.LogCaptureFixture) -> None:
    world, service = World(), Service(down={0})
    outbox = Outbox(world.ledger, service, frozenset(News), world.clock)
    record = outbox.noted(Record(born=0.0), [Line(1.0, MODEL, "rolled_back", version=1, reason="probe_failed")])
    won = [Line(2.0 + n, MODEL, "verdict", version=2 + n, data={"call": "wins"}) for n in range(MOST + 5)]
    kept = outbox.noted(record, won).outbox
    assert len(kept) == MOST
    assert [each.news for each in kept.values()].count(News.ROLLED_BACK) == 1
    assert caplog.text.count("not told") == 6


def test_a_service_that_never_says_that_it_took_a_message_gets_it_some_dozen_times_at_most() -> None:
    world, service = World(), Service(down={0})
    tried: list[float] = []
    service.sending = lambda: tried.append(world.now)
    world.train(0.8)
    world.rest(world.worker(messenger=service), most=100, until=world.now + 1.0)
    tried.clear()
    for _ in range(24 * 60):
        world.now += 60.0
        world.wake(world.worker(messenger=service))
    assert 5 < len(tried) < 40
