"""`python -m benchmarks.hosted`: what the function app costs, on an emulated storage account and a real MLflow server.

It needs what the tests need (`requirements-dev.txt`, Node.js), and so stands apart from the other benchmarks. Its exit
codes are theirs.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import registry
from benchmarks.bench import Bench, BenchError, Figure, Measured, median_figure, quantile, sure, until
from benchmarks.load import CHECKOUT
from benchmarks.table import Row, Told, text
from tests import azurite
from tests.functions import recorded
from tests.functions.bed import QUEUE, Bed
from watcher.hosted.webhooks import mlflow as webhook
from watcher.naming import release_name
from watcher.values import Version

MODELS, VERSIONS, CHANGED, WORKERS = 1_000, 1, 50, 4
DELIVERIES = 1_000
SECRET = "s3cret"  # noqa: S105 of this benchmark
MET, MISSED, CANNOT = 0, 1, 2
IMPORT = """
import function_app, resource, time
print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
MODEL_FILE = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"

ROWS: Sequence[Row] = (
    Row("import_cpu", "cold_import", "cold `import function_app`, with the interpreter's own start", " s", most=1.0),
    Row("import_memory", "cold_import", "memory of a process that did so", " MB", most=120),
    Row("webhook_cpu", "webhook_cost", "own CPU of the webhook's function", " ms", most=5),
    Row("webhook_calls", "webhook_cost", "storage calls of one delivery", "", most=1),
    Row("webhook_wait", "webhook_wait", "webhook to the beginning of the wake-up", " s", most=1.0),
    Row("poll", "drained", "a poll with 50 of 1,000 models changed", " s", most=5),
    Row("double_effects", "drained", "effects twice, 4 processes and every message sent twice", "", most=0),
)


def cold_import(bench: Bench) -> Measured:
    """Fresh processes, with the files in the page cache: not the very first start on a machine."""
    cpu, memory = [], []
    for _ in range(bench.rounds):
        ran = subprocess.run([sys.executable, "-c", IMPORT], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        seconds, kilobytes = map(float, ran.stdout.split())
        cpu.append(seconds)
        memory.append(kilobytes / 1000)
    return {
        "import_cpu": median_figure(cpu, f"{min(cpu):.2f} to {max(cpu):.2f} s"),
        "import_memory": median_figure(memory, f"{resource.getpagesize()} bytes a page, peak"),
    }


def webhook_cost(bench: Bench) -> Measured:
    """The function as the worker calls it, without and with the queue behind its output binding."""
    count = bench.of(DELIVERIES, 20)
    with _bed(bench) as bed:
        bed.settings([{"match": "bench.*", "policy": "auc", "mode": "advise"}])
        with _environment(bed):
            from azure.functions import HttpRequest  # noqa: TID251 - what the worker hands over

            from tests.functions.host import Host, Out

            host = Host(bed.storage.connection)
            function = host.functions["mlflow_webhook"]
            requests = [_request(HttpRequest, number) for number in range(2 * count + 1)]
            function.call(requests.pop(), Out())  # reads the settings, once a process
            spent = []
            for request in requests[:count]:
                began = time.process_time()
                answer = function.call(request, Out())
                spent.append((time.process_time() - began) * 1000)
                sure(answer.status_code == 202, f"a webhook is answered {answer.status_code}")  # noqa: PLR2004 - HTTP's accepted
            host.queue(QUEUE)
            with registry.counted() as counted:
                for request in requests[count:]:
                    function.invoke(request, host.queue)
        bed.wakes().clear_messages()
    told = f"p50 {statistics.median(spent):.2f} ms, p99 {quantile(spent, 0.99):.2f} ms of {count:,} deliveries"
    return {
        "webhook_cpu": Figure(statistics.median(spent), told),
        "webhook_calls": Figure(counted.calls / count, f"{counted.calls:,} calls for {count:,} deliveries"),
    }


def webhook_wait(bench: Bench) -> Measured:
    """From the sending to the time at which the wake-up began, by its own lines in the history."""
    with _bed(bench) as bed:
        bed.environ = {webhook.SECRET: SECRET}
        bed.settings([{"match": "bench.*", "policy": "auc", "mode": "advise"}])
        names = [f"bench.w{number}" for number in range(bench.rounds + 1)]
        for name in names:
            bed.register(name, 0.9)
        waited = []
        with bed.process("--queue", "--http", "0") as process:
            for number, name in enumerate(names):
                headers, body = _delivery(name, f"wait-{number}")
                sent = time.time()
                request = urllib.request.Request(f"{process.url}/mlflow_webhook", body, headers)  # noqa: S310 - our own address
                urllib.request.urlopen(request, timeout=60).close()  # noqa: S310 - our own address
                until(lambda name=name: bed.ledger().history(name, event="verdict"), f"a verdict on {name}", every=0.05)  # type: ignore[misc]
                waited.append(bed.ledger().history(name, event="verdict")[0].at - sent)
    first, warm = waited[0], waited[1:]
    return {"webhook_wait": median_figure(warm, f"{max(warm):.2f} s at most; the first of a process {first:.2f} s")}


def drained(bench: Bench) -> Measured:
    """All models serve their champion; then some get a better version, and one poll has to find them."""
    models, changed = bench.of(MODELS, 20), bench.of(CHANGED, 3)
    database = registry.seeded(bench, models, VERSIONS)
    with registry.server(database) as (address, _), azurite.running() as storage:
        bed = Bed(bench.fresh("bed"), address, storage)
        bed.settings(
            [{"match": "bench.*", "policy": "auc", "rollout": "fast", "targets": [bed.target("{model_slug}")]}]
        )
        with _environment(bed):
            from watcher.hosted import wakes
            from watcher.hosted.host import Host

            host = Host(bed.folder)
            _serve(bed, host.app, registry.names(models))
            bench.say(f"{models:,} models serve their champion")
            first = len(wakes.poll(host))
            sure(first == models, f"the first poll wakes {first} of {models}")
            sure(not wakes.poll(host), "at rest a poll wakes nobody")
            names = registry.names(models)[:: models // changed][:changed]
            _train(bed, address, names)
            began = time.monotonic()
            found = wakes.poll(host)
            poll = time.monotonic() - began
        sure(found == sorted(names), f"a poll finds the {changed} that changed, and not {len(found)}")
        took, messages = _drain(bench, bed, names)
    effects = Counter(recorded.effects(bed.file))
    expected = {"launch": changed, "shift": changed, "retire": changed}
    seen = Counter(verb for _, verb, _ in effects.elements())
    sure(seen.keys() <= expected.keys() and seen["launch"] >= changed, f"the effects are {dict(seen)}")
    told = f"{took:.0f} s until {changed} new champions serve, {messages} messages sent at first"
    return {
        "poll": Figure(poll, f"{changed} of {models:,} models"),
        "double_effects": Figure(float(sum(n - 1 for n in effects.values())), f"{told}; {dict(seen)}"),
    }


def _drain(bench: Bench, bed: Bed, names: Sequence[str]) -> tuple[float, int]:
    """Seconds until every model has its new champion and the queue is empty; each message is sent twice."""
    wakes = bed.wakes()
    with contextlib.ExitStack() as stack:
        # One of them has the timer too, for what is due later.
        for options in [("--queue", "--poll", "1"), *[("--queue",)] * (WORKERS - 1)]:
            stack.enter_context(bed.process(*options))
        bench.say(f"{WORKERS} processes wait for messages")
        began = time.monotonic()
        for name in [*names, *names]:
            wakes.send_message(name)

        def done() -> bool:
            empty = wakes.get_queue_properties().approximate_message_count == 0
            return empty and all(bed.champion(name) == VERSIONS + 1 for name in names)

        until(done, "an empty queue and new champions everywhere", every=1.0, patience=600.0)
        return time.monotonic() - began, 2 * len(names)


def _train(bed: Bed, address: str, names: Sequence[str]) -> None:
    """A better version of each."""
    trainer, artifacts = registry.Trainer(address), bed.folder / "model"
    artifacts.mkdir()
    (artifacts / "MLmodel").write_text(MODEL_FILE)
    for name in names:
        trainer.register(name, 0.9, artifacts)


def _serve(bed: Bed, app: object, names: Sequence[str]) -> None:
    """Write down of each model's place that it serves the champion, as if it had been rolled out long ago."""
    from watcher.wiring import App

    if not isinstance(app, App):
        raise BenchError("no app")
    recorded.effects(bed.file)
    with contextlib.closing(sqlite3.connect(bed.file)) as connection, connection:
        for name in names:
            found, watched = app.registry.version(name, VERSIONS), app.watched(name)
            if not isinstance(found, Version) or watched is None:
                raise BenchError(f"{name} has no version {VERSIONS}")
            release = release_name(found.identity)
            there = {
                "releases": {release: {"version": VERSIONS, "key": found.identity.key}},
                "weights": {release: 100},
                "token": "new",
            }
            connection.execute("INSERT INTO places VALUES (?, ?)", (watched.targets[0].place, json.dumps(there)))


@contextlib.contextmanager
def _bed(bench: Bench) -> Iterator[Bed]:
    """A small registry, and storage."""
    database = registry.copied(bench)
    with registry.server(database) as (address, _), azurite.running() as storage:
        yield Bed(bench.fresh("bed"), address, storage)


@contextlib.contextmanager
def _environment(bed: Bed) -> Iterator[None]:
    """For a while we are one of the host's processes, with its settings and the target that the tests bring."""
    before, path = dict(os.environ), str(bed.folder / "path")
    os.environ.update(
        {
            "AzureWebJobsStorage": bed.storage.connection,
            "WATCHER_CONFIG": str(bed.folder / "watch.yaml"),
            webhook.SECRET: SECRET,
        }
    )
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)
        os.environ.clear()
        os.environ.update(before)


def _delivery(name: str, delivery: str) -> tuple[dict[str, str], bytes]:
    """As MLflow sends it."""
    data = {"name": name, "version": "1", "source": "models:/m-1", "run_id": "r" * 32, "description": None}
    event = {"entity": "model_version", "action": "created", "timestamp": "2026-01-01T00:00:00Z", "data": data}
    body, stamp = json.dumps(event).encode(), str(int(time.time()))
    content = b".".join((delivery.encode(), stamp.encode(), body))
    signature = base64.b64encode(hmac.new(SECRET.encode(), content, hashlib.sha256).digest()).decode()
    headers = {"X-MLflow-Signature": f"v1,{signature}", "X-MLflow-Delivery-Id": delivery, "X-MLflow-Timestamp": stamp}
    return {**headers, "Content-Type": "application/json"}, body


def _request(made: Callable[..., object], number: int) -> object:
    headers, body = _delivery("bench.m00001", f"cost-{number}")
    return made(method="POST", url="http://127.0.0.1/api/mlflow_webhook", headers=headers, body=body)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


BENCHMARKS: dict[str, Callable[[Bench], Measured]] = {
    "cold_import": cold_import,
    "webhook_cost": webhook_cost,
    "webhook_wait": webhook_wait,
    "drained": drained,
}


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.hosted", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="measure only this; may be given again")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each, 5 by default")
    parser.add_argument("--size", type=float, default=1.0, help="below 1: a smaller world, whose figures mean nothing")
    given = parser.parse_args()
    registry.set_environment()
    measured: dict[str, Figure] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
            bench = Bench(Path(folder), given.rounds, given.size, _say)
            for name in given.only or BENCHMARKS:
                began, load = time.monotonic(), os.getloadavg()[0]
                bench.say(f"{name} ...")
                measured.update(BENCHMARKS[name](bench))
                bench.say(f"{name}: {time.monotonic() - began:.0f} s, load {load:.1f} to {os.getloadavg()[0]:.1f}")
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT
    lines = [Told(row, measured[row.key]) for row in ROWS if row.key in measured]
    print(text(lines))
    return MET if all(line.met for line in lines) else MISSED


if __name__ == "__main__":
    sys.exit(main())
