"""Clients that ask all the time and remember what they were told."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.gateway import world
from tests.gateway.world import Endpoint


@dataclass
class Told:
    """What all clients of one load were answered."""

    statuses: Counter[int | str] = field(default_factory=Counter)
    """By status, or by the name of the error where there was no answer."""
    releases: Counter[str | None] = field(default_factory=Counter)
    """By release, of the answers with status 200."""

    @property
    def total(self) -> int:
        return sum(self.statuses.values())


@contextlib.contextmanager
def load(endpoint: Endpoint, clients: int = 4, body: bytes = world.BODY) -> Iterator[Told]:
    """Each client keeps its connection for as long as it can; they stop when the context ends."""
    told, stop, lock = Told(), threading.Event(), threading.Lock()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=30)
        while not stop.is_set():
            try:
                answer = world.send(connection, body)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with lock:
                    told.statuses[type(error).__name__] += 1
                continue
            with lock:
                told.statuses[answer.status] += 1
                if answer.status == 200:
                    told.releases[answer.release] += 1
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        stop.set()
        for thread in threads:
            thread.join()
