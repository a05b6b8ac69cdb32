"""What a person is still to be notified of: noted in the record with the lines it comes from, sent after the save.

The record of a model holds its unsent news, so no crash between the save and the sending loses one. A record of the
loop's own beside it, `#news:MODEL`, says who is sending what, and what has arrived where: two workers of one model send
nothing twice. What was sent by a worker that died before it could write that down is sent once more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from watcher.errors import Conflict, WatcherError
from watcher.news import TITLES, News, news_of
from watcher.pause import UNTIL_RESUMED
from watcher.ports import Ledger, Line, Stored
from watcher.record import OWN, Pending, Record, key_of
from watcher.sentences import render
from watcher.text import plain
from watcher.values import NOTHING

log = logging.getLogger("watcher")

MOST = 20
"""Unsent news of one model. What won or lost makes room first, then the oldest."""
LONGEST = 1_000
"""Characters of one."""
CLAIM = 60.0
"""Seconds for which a worker keeps others from sending what it is about to send; longer than sending may last."""
RETRY = 60.0
"""Seconds after which a model with unsent news is woken."""
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 21_600.0
"""Seconds between two tries, doubled each time: some dozen a day, for a service that takes a message may not say so."""
_LIGHT = frozenset({News.WON, News.LOST})
GIVEN_UP = 86_400.0
"""Seconds after which what cannot be delivered is dropped: nobody wants to hear of it any more."""
TRIES = 20


class Messenger(Protocol):
    """Delivers to every address of the settings. Never raises, and answers within `patience` seconds."""

    addresses: int
    patience: float

    def send(self, title: str, body: str, to: Sequence[int]) -> Collection[int]:
        """Send to these addresses, counted from 0; those at which it arrived."""
        ...


@dataclass(frozen=True, slots=True)
class Outbox:
    """Notes and sends the news that the settings ask for."""

    ledger: Ledger
    messenger: Messenger
    wanted: frozenset[News]
    clock: Callable[[], float]

    def noted(self, record: Record, lines: Iterable[Line]) -> Record:
        """The record with what is news in these lines; to note a line twice is harmless."""
        found = dict(record.outbox)
        for line in lines:
            news = news_of(line)
            if news is not None and news in self.wanted:
                name = f"{line.at:.6f} {news} {line.version or ''} {line.target or ''}"
                found[name] = Pending(line.at, str(news), plain(render(line), LONGEST))
        if len(found) == len(record.outbox):
            return record
        kept = sorted(sorted(found, key=lambda name: (found[name].news not in _LIGHT, name))[-MOST:])
        for name in sorted(found.keys() - set(kept)):
            log.warning("more news wait than are kept; not told: %s", found[name].text)
        return replace(record, outbox={name: found[name] for name in kept})

    def unsent(self, model: str, record: Record) -> Record:
        """The record without what has been sent meanwhile. Raises Transient where the ledger is out of reach."""
        if not record.outbox:
            return record
        known = _known(self.ledger.load(_key(model)))
        return _without(record, [name for name in record.outbox if name in known and not known[name].left])

    def deliver(self, model: str, record: Record, revision: str | None, due: float | None) -> float | None:
        """Send what is unsent in this record, as it is in the ledger; when to look at the model again.

        That is `due`, or earlier where something is left. Never raises: the next wake-up tries again.
        """
        if record.outbox and not self._sent(model, record, revision, due):
            return soonest(record, self.clock(), due)
        return due

    def _sent(self, model: str, record: Record, revision: str | None, due: float | None) -> bool:
        """Whether nothing is left."""
        try:
            claimed = self._claim(model, record)
            if not claimed:
                return False
            left = {name: _Sending(0.0, sending.tries, sending.left) for name, sending in claimed.items()}
            until = self.clock() + self.messenger.patience
            for addresses in sorted({sending.left for sending in claimed.values()}):
                if self.clock() > until:
                    break
                names = [name for name in sorted(claimed) if claimed[name].left == addresses]
                arrived = self.messenger.send(*_message(model, [record.outbox[name] for name in names]), addresses)
                for name in names:
                    left[name] = self._after(claimed[name], arrived)
            sent = [name for name, sending in left.items() if not sending.left]
            rest = _without(record, sent)
            if not rest.outbox and self._cleared(model, rest, revision, due):
                return True
            self._write_down(model, left)
        except WatcherError as error:
            log.warning("%s: news could not be sent: %s", plain(model), plain(error, 500))
        return False

    def _claim(self, model: str, record: Record) -> Mapping[str, _Sending]:
        """What this worker alone may send now; what is too old counts as sent."""
        stored, now = self.ledger.load(_key(model)), self.clock()
        known = {name: sending for name, sending in _known(stored).items() if name in record.outbox}
        mine = {}
        for name, pending in record.outbox.items():
            sending = known.get(name, _Sending(0.0, 0, tuple(range(self.messenger.addresses))))
            addresses = tuple(address for address in sending.left if address < self.messenger.addresses)
            if not addresses or sending.until > now:
                continue
            if pending.at < now - GIVEN_UP:
                log.warning("%s: never arrived, and is dropped: %s", plain(model), plain(pending.text, 500))
                known[name] = replace(sending, left=())
                continue
            known[name] = mine[name] = _Sending(now + CLAIM, sending.tries, addresses)
        try:
            self.ledger.save(_key(model), _body(known), stored.revision if stored else None)
        except Conflict:
            return {}
        return mine

    def _after(self, sending: _Sending, arrived: Collection[int]) -> _Sending:
        pause = min(FIRST_PAUSE * 2 ** min(sending.tries, 10), LONGEST_PAUSE)
        left = tuple(address for address in sending.left if address not in arrived)
        return _Sending(self.clock() + pause, sending.tries + 1, left)

    def _cleared(self, model: str, rest: Record, revision: str | None, due: float | None) -> bool:
        try:
            self.ledger.save(key_of(model), rest.to_json(), revision, (), due)
        except Conflict:
            return False
        return True

    def _write_down(self, model: str, left: Mapping[str, _Sending]) -> None:
        for _ in range(TRIES):
            stored = self.ledger.load(_key(model))
            try:
                self.ledger.save(_key(model), _body({**_known(stored), **left}), stored.revision if stored else None)
            except Conflict:
                continue
            return


@dataclass(frozen=True, slots=True)
class Nobody:
    """An outbox where nobody is to be notified: what waits in a record from before is dropped."""

    def noted(self, record: Record, lines: Iterable[Line]) -> Record:
        return record

    def unsent(self, model: str, record: Record) -> Record:
        return replace(record, outbox=NOTHING) if record.outbox else record

    def deliver(self, model: str, record: Record, revision: str | None, due: float | None) -> float | None:
        return due


@dataclass(frozen=True, slots=True)
class _Sending:
    until: float
    """Nobody sends it before."""
    tries: int
    left: tuple[int, ...]
    """Addresses at which it has not arrived; none: it is done."""


def soonest(record: Record, now: float, due: float | None) -> float | None:
    """When to look at the model: as it asked for, or earlier for its unsent news; in a pause only for them."""
    if not record.outbox:
        return due
    return now + RETRY if due is None or due == UNTIL_RESUMED else min(due, now + RETRY)


def _message(model: str, pending: Sequence[Pending]) -> tuple[str, str]:
    titles = [TITLES[News(each.news)] for each in pending if each.news in set(News)]
    return f"{plain(model, 100)}: {', '.join(dict.fromkeys(titles))}", "\n".join(each.text for each in pending)


def _without(record: Record, names: Collection[str]) -> Record:
    left = {name: pending for name, pending in record.outbox.items() if name not in names}
    return replace(record, outbox=left or NOTHING) if names else record


def _key(model: str) -> str:
    return f"{OWN}news:{model}"


def _body(sendings: Mapping[str, _Sending]) -> dict[str, Any]:
    news = {name: {"until": s.until, "tries": s.tries, "left": list(s.left)} for name, s in sendings.items()}
    return {"format": 1, "news": news}


def _known(stored: Stored | None) -> Mapping[str, _Sending]:
    """What cannot be read counts as never sent."""
    news = stored.body.get("news") if stored else None
    try:
        return {
            name: _Sending(float(one["until"]), int(one["tries"]), tuple(int(address) for address in one["left"]))
            for name, one in (news or {}).items()
        }
    except (AttributeError, TypeError, KeyError, ValueError):
        return {}
