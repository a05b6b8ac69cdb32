"""What the HTTP functions do: a webhook's answer, with the models to wake that are watched; and the health."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace

from watcher import heartbeat
from watcher.errors import WatcherError
from watcher.hosted.host import Host
from watcher.hosted.wakes import named
from watcher.hosted.webhooks import databricks, event_grid, mlflow
from watcher.hosted.webhooks.answers import Answer
from watcher.hosted.webhooks.seen import Seen
from watcher.text import plain

log = logging.getLogger("watcher")

REMEMBERED = 2 * mlflow.TOLERANCE
PER_MODEL = 10.0
"""Seconds in which Databricks wakes one model once: what it signs carries no time, so a replay is never too old."""
HEALTH_KEPT = 5.0
"""Seconds for which an answer about the health is kept: anybody may ask for it, as often as they like."""


class Hooks:
    """The webhooks of one process. Each call gives the answer, whose `models` are all watched."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._deliveries = Seen(REMEMBERED)
        self._replays = Seen(REMEMBERED)
        self._lately = Seen(PER_MODEL)
        self._health: tuple[float, Answer] | None = None

    def mlflow(self, headers: Mapping[str, str], body: bytes) -> Answer:
        secrets = self._host.environ.get(mlflow.SECRET, "")
        return self._watched(mlflow.take(_lower(headers), body, secrets, self._deliveries, self._host.clock()))

    def databricks(self, headers: Mapping[str, str], body: bytes) -> Answer:
        now, secrets = self._host.clock(), self._host.environ.get(databricks.SECRET, "")
        answer = self._watched(databricks.take(_lower(headers), body, secrets, self._replays, now))
        return replace(answer, models=tuple(m for m in answer.models if self._lately.take(m.encode(), now)))

    def event_grid(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if method.upper() == "OPTIONS":
            return event_grid.handshake(_lower(headers))
        return self._watched(event_grid.take(body))

    def health(self) -> Answer:
        """200 `ok`, or 503 `stale`. Says no more: anybody may ask."""
        now = self._host.clock()
        if self._health is None or not 0 <= now - self._health[0] < HEALTH_KEPT:
            self._health = (now, self._look(now))
        return self._health[1]

    def _look(self, now: float) -> Answer:
        try:
            beat = heartbeat.last(self._host.app.ledger)
            old = heartbeat.stale(beat.at if beat else None, self._host.schedule, now)
        except WatcherError as error:
            log.error("health: %s", plain(error, 500))  # noqa: TRY400 the sentence says it
            old = True
        return Answer(503, "stale") if old else Answer(200, "ok")

    def _watched(self, answer: Answer) -> Answer:
        # What the queue would drop is not put into it.
        possible = [name for name in answer.models if named(name.encode("utf-8", "surrogatepass"))]
        names = [name for name in possible if self._host.app.watches(name)]
        return replace(answer, models=tuple(names))


def body_of(answer: Answer) -> tuple[str, str]:
    """The answer's body and its media type."""
    if answer.json is not None:
        return json.dumps(answer.json), "application/json"
    return answer.text, "text/plain"


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
