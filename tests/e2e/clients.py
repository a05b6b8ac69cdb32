"""A client that asks all the time, and checks that each answer is what the version that gave it predicts."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.gateway.world import send

PAUSE = 0.008


@dataclass
class Asked:
    """What one client was told."""

    answers: Counter[int] = field(default_factory=Counter)
    """By version, of the answers that were right."""
    wrong: list[str] = field(default_factory=list)


@contextlib.contextmanager
def asking(port: int) -> Iterator[Asked]:
    """One connection, always busy, no retries; of models that predict their own number."""
    asked, stop = Asked(), threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not stop.wait(PAUSE):
            try:
                answer = send(connection)
                version = int(answer.headers.get("x-model-version", "0"))
                if answer.status == 200 and answer.json()["predictions"] == [version]:
                    asked.answers[version] += 1
                else:
                    asked.wrong.append(f"{answer.status} of v{version}: {answer.body[:200]!r}")
            except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
                connection.close()
                asked.wrong.append(repr(error))
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield asked
    finally:
        stop.set()
        thread.join()
