"""Notifications through Apprise: one address a service, each within bounds, and none of them ever shown."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watcher.errors import UserError
from watcher.text import plain

if TYPE_CHECKING:
    from apprise import Apprise

log = logging.getLogger("watcher")

PATIENCE = 10.0
"""Seconds for which a wake-up waits for all addresses together."""
SOCKET = 4.0
"""Seconds for which one waits to be connected, and for an answer."""
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 300.0
"""An address that did not take a message is left alone, however many models have news."""
_CALLS_PEOPLE = re.compile(r"(?<=@)(?=everyone|here|channel|all)|(?<=<)(?=[!@#])")
"""Where chats read a word as a call to everybody in the room; whoever names a model must not be able to give it."""


@dataclass
class _Address:
    number: int
    service: Apprise
    tries: int = 0
    until: float = 0.0


class AppriseMessenger:
    """`watcher.outbox.Messenger` on Apprise. Safe to use from several threads."""

    def __init__(
        self, urls: Sequence[str], patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.addresses = len(urls)
        self.patience = patience
        self._urls, self._clock = tuple(urls), clock
        self._lock = threading.Lock()
        self._opened: list[_Address | None] | None = None

    def send(self, title: str, body: str, to: Sequence[int]) -> Collection[int]:
        title, body = (_CALLS_PEOPLE.sub("\N{ZERO WIDTH SPACE}", text) for text in (title, body))
        arrived: set[int] = set()
        begun = []
        for address in self._ready(to):
            # A daemon: a service that hangs must keep neither a wake-up nor the process.
            thread = threading.Thread(target=self._deliver, args=(address, title, body, arrived), daemon=True)
            thread.start()
            begun.append((address, thread))
        until = time.monotonic() + self.patience
        for address, thread in begun:
            thread.join(max(until - time.monotonic(), 0.0))
            if thread.is_alive():
                self._failed(address, f"no answer within {self.patience:g} s")
        return frozenset(arrived)

    def _ready(self, to: Sequence[int]) -> list[_Address]:
        with self._lock:
            if self._opened is None:
                self._opened = [_opened(number, url) for number, url in enumerate(self._urls)]
            found = [self._opened[number] for number in to if number < len(self._opened)]
            return [address for address in found if address is not None and address.until <= self._clock()]

    def _deliver(self, address: _Address, title: str, body: str, arrived: set[int]) -> None:
        try:
            taken = address.service.notify(body=body, title=title, body_format="text")
        except Exception as error:  # noqa: BLE001 whatever a service's code raises is a message that did not arrive
            self._failed(address, type(error).__name__)
            return
        if taken:
            address.tries, address.until = 0, 0.0
            arrived.add(address.number)
        else:
            self._failed(address, "refused, or out of reach")

    def _failed(self, address: _Address, why: str) -> None:
        with self._lock:
            pause = min(FIRST_PAUSE * 2 ** min(address.tries, 10), LONGEST_PAUSE)
            address.tries, address.until = address.tries + 1, self._clock() + pause
            first = address.tries == 1
        if first:
            log.warning("notify.urls[%d] did not take a message (%s): it is tried again", address.number, plain(why))


def service_of(number: int, url: str) -> str:
    """The name of the service that an address is of, such as `Slack`. Raises UserError where it is none.

    Neither says anything of the address itself: it is a secret.
    """
    return plain(_service(number, url)[0].service_name, 80)


def _opened(number: int, url: str) -> _Address | None:
    try:
        return _Address(number, _service(number, url))
    except UserError as error:
        log.error("%s", error)  # noqa: TRY400 a mistake in the settings has no traceback
        return None


def _service(number: int, url: str) -> Any:
    """An Apprise with this one address, so that it converts the text to what the service takes."""
    from apprise import Apprise, AppriseAsset, NotifyFormat, PersistentStoreMode

    # What it would say of failures names the address.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    asset = AppriseAsset(app_id="MLflow registry watcher", storage_mode=PersistentStoreMode.MEMORY)
    service = Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None:
        raise UserError(
            f"notify.urls[{number}] is no address that Apprise knows: put one such as tgram://TOKEN/CHAT or"
            " mailtos://USER:PASSWORD@HOST into the environment variable that it names"
        )
    # Names and errors are others' words: no service may read markup in them.
    service.notify_format = NotifyFormat.TEXT
    service.socket_connect_timeout = service.socket_read_timeout = SOCKET
    one = Apprise(asset=asset)
    one.add(service)
    return one
