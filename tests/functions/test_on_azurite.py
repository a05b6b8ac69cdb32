"""The function app behind a host, on a real storage queue and a real MLflow server: the whole way, and its deaths."""

from __future__ import annotations

import contextlib
import json
import random
import time
import urllib.error
import urllib.request
from collections import Counter

import pytest

from tests.functions import recorded
from tests.functions.bed import Bed, Process, until
from watcher.history import EVENTS

SECRET = "s3cret"  # noqa: S105 of this test


def lines(bed: Bed, model: str, event: str) -> list[float]:
    assert event in EVENTS
    return [line.at for line in bed.ledger().history(model, event=event, newest_first=False)]


def get(process: Process, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    request = urllib.request.Request(f"{process.url}/{path}", headers=headers or {})  # noqa: S310 on this machine
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 on this machine
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_version_registered_in_mlflow_wakes_the_watcher_by_webhook_alone(bed: Bed) -> None:
    from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent

    bed.environ = {"WATCHER_MLFLOW_WEBHOOK_SECRET": SECRET}
    bed.settings([{"name": "hooked", "policy": "auc", "mode": "advise"}])
    with bed.process("--queue", "--http", "0") as process:
        hook = bed.client.create_webhook(
            "watcher",
            f"{process.url}/mlflow_webhook",
            [WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)],
            secret=SECRET,
        )
        try:
            bed.register("hooked", 0.9)
            until(lambda: bool(lines(bed, "hooked", "verdict")), lambda: (bed.folder / "host.log").read_text()[-3000:])
        finally:
            bed.client.delete_webhook(hook.webhook_id)


def test_without_a_webhook_the_timer_takes_a_version_to_its_target(bed: Bed) -> None:
    bed.settings([{"name": "timed", "policy": "auc", "rollout": "fast", "targets": [bed.target("timed")]}])
    with bed.process("--queue", "--poll", "0.5", "--http", "0") as process:
        for auc in (0.8, 0.9):
            version = bed.register("timed", auc)
            until(lambda v=version: bed.champion("timed") == v, lambda: (bed.folder / "host.log").read_text()[-3000:])  # type: ignore[misc]
        assert get(process, "health") == (200, "ok")
        assert get(process, "event_grid")[0] == 404
        assert get(process, "page/")[0] == 401
        status, shown = get(process, "page/?code=a-key")
        assert status == 200
        assert "timed" in shown
        status, told = get(process, "page/api/model?name=timed", {"x-functions-key": "a-key"})
        assert status == 200
        assert json.loads(told)["status"]["champion"] == version
    assert [verb for _, verb, _ in recorded.effects(bed.file)].count("launch") == 2


def test_without_a_timer_the_health_is_stale(bed: Bed) -> None:
    bed.settings([{"name": "timed", "policy": "auc", "mode": "advise"}])
    with bed.process("--http", "0") as process:
        assert get(process, "health") == (503, "stale")


def test_junk_in_the_queue_is_dropped_and_not_tried_again(bed: Bed) -> None:
    bed.settings([{"name": "timed", "policy": "auc", "mode": "advise"}])
    wakes = bed.wakes()
    for junk in ("nobody", "#pause", '{"model": "timed"}', "x" * 3_000):
        wakes.send_message(junk)
    with bed.process("--queue"):
        until(lambda: wakes.get_queue_properties().approximate_message_count == 0, lambda: "junk is still there")
    assert (bed.folder / "host.log").read_text().count("failed") == 0


def storm(bed: Bed, models: int, processes: int, kills: int, seed: int) -> None:
    """Winners of many models, messages sent three times, and processes killed in the middle of their steps."""
    chance = random.Random(seed)
    names = [f"storm-{seed}-{number}" for number in range(models)]
    bed.settings(
        [
            {"name": name, "policy": "auc", "rollout": "fast", "targets": [bed.target(name, seconds=0.1)]}
            for name in names
        ]
    )
    wanted = {}
    for name in names:
        bed.register(name, 0.8)
        wanted[name] = bed.register(name, 0.9)
    with contextlib.ExitStack() as stack:
        options = ("--queue", "--poll", "1")
        running = [stack.enter_context(bed.process(*options)) for _ in range(processes)]
        wakes = bed.wakes()
        for name in names * 3:
            wakes.send_message(name)
        for _ in range(kills):
            time.sleep(chance.uniform(0.3, 1.2))
            running.pop(chance.randrange(len(running))).kill()
            running.append(stack.enter_context(bed.process(*options)))
        until(
            lambda: all(bed.champion(name) == version for name, version in wanted.items()),
            lambda: (bed.folder / "host.log").read_text()[-3000:],
        )
    launched = Counter((place, release) for place, verb, release in recorded.effects(bed.file) if verb == "launch")
    assert set(launched.values()) == {1}, "one launch of each release, however often a process died"
    for name in names:
        shifts = [release for place, verb, release in recorded.effects(bed.file) if verb == "shift" and name in place]
        assert len(shifts) == len(set(shifts)), f"{name} was shifted twice to the same release: {shifts}"


def test_processes_that_die_in_the_middle_and_repeated_messages_have_no_effect_twice(bed: Bed) -> None:
    storm(bed, models=3, processes=2, kills=2, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 14))
def test_many_deaths_of_four_processes_have_no_effect_twice(bed: Bed, seed: int) -> None:
    storm(bed, models=8, processes=4, kills=10, seed=seed)
