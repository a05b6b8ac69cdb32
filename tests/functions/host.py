"""A host small enough to read: `python -m tests.functions.host` drives `function_app` through its triggers.

It does what Azure's own host does where that matters to the app: messages are invisible while they are worked on, come
back after a failure or a death, are counted, and end in a poison queue; bindings are encoded by azure.functions' own
converters; HTTP functions ask for a key unless they are open to anybody. It is one process of many.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import inspect
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import azure.functions as func
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.functions.queue import QueueMessageOutConverter
from azure.functions.timer import TimerRequestConverter
from azure.storage.queue import QueueClient, QueueMessage

HOST = json.loads((Path(__file__).parents[2] / "host.json").read_text())
QUEUES = HOST["extensions"]["queues"]
PREFIX = HOST["extensions"]["http"]["routePrefix"]
KEY = "FUNCTIONS_KEY"
INVISIBLE = 4
"""Seconds for which a message is invisible, renewed while it is worked on; Azure's host has 10 minutes."""


class Out(func.Out[Any]):
    """An output binding of one invocation."""

    def __init__(self) -> None:
        self.value: Any = None

    def set(self, val: Any) -> None:
        self.value = val

    def get(self) -> Any:
        return self.value


@dataclass
class Indexed:
    """One function as the app declares it."""

    name: str
    call: Any
    trigger: dict[str, Any]
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def invoke(self, message: Any, connect: Any) -> Any:
        """Call it, then send off what its output bindings hold; what it returned."""
        outs = {name: Out() for name in self.outputs}
        given = {self.trigger["name"]: message, **outs}
        if "context" in inspect.signature(self.call).parameters:
            given["context"] = None
        answer = self.call(**given)
        if inspect.iscoroutine(answer):
            answer = asyncio.run(answer)
        for name, out in outs.items():
            if out.value is not None:
                _send(connect(self.outputs[name]["queueName"]), out.value)
        return answer


def _send(queue: QueueClient, value: Any) -> None:
    datum = QueueMessageOutConverter.encode(value, expected_type=None)
    for text in json.loads(datum.value) if datum.type == "json" else [datum.value]:
        queue.send_message(base64.b64encode(text.encode()).decode())


def index() -> dict[str, Indexed]:
    """The functions of the app, by name."""
    import function_app

    found = {}
    for function in function_app.app.get_functions():
        bindings = function.get_dict_repr()["bindings"]
        trigger = next(binding for binding in bindings if binding["type"].endswith("Trigger"))
        outputs = {binding["name"]: binding for binding in bindings if binding["type"] == "queue"}
        name = str(function.get_function_name())
        found[name] = Indexed(name, function.get_user_function(), trigger, outputs)
    return found


class Host:
    """One process: its timers, its queue listener, its web server."""

    def __init__(self, storage: str) -> None:
        self._storage = storage
        self._clients: dict[str, QueueClient] = {}
        self._lock = threading.Lock()
        self.functions = index()

    def queue(self, name: str) -> QueueClient:
        with self._lock:
            if name not in self._clients:
                client = QueueClient.from_connection_string(self._storage, name)
                with contextlib.suppress(ResourceExistsError):
                    client.create_queue()
                self._clients[name] = client
            return self._clients[name]

    def fire(self, name: str) -> None:
        """Let a timer's function run."""
        try:
            self.functions[name].invoke(_tick(), self.queue)
        except Exception as error:  # noqa: BLE001 as the host: a failed run is logged, the next one comes
            _log(f"{name} failed: {error!r}")

    def timer(self, name: str, every: float) -> None:
        """Fire for ever; never two at once."""
        while True:
            self.fire(name)
            time.sleep(every)

    def listen(self, name: str) -> None:
        """Take messages for ever, several at once."""
        function = self.functions[name]
        queue = self.queue(function.trigger["queueName"])
        busy = threading.Semaphore(QUEUES["batchSize"])
        with ThreadPoolExecutor(QUEUES["batchSize"]) as pool:
            while True:
                busy.acquire()
                message = queue.receive_message(visibility_timeout=INVISIBLE)
                if message is None:
                    busy.release()
                    time.sleep(0.05)
                    continue
                pool.submit(self._take, function, queue, message).add_done_callback(lambda _: busy.release())

    def _take(self, function: Indexed, queue: QueueClient, message: QueueMessage) -> None:
        try:
            body = base64.b64decode(message.content, validate=True)
        except ValueError:
            self._poison(queue, message)
            return
        done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(queue, message, done), daemon=True)
        renewing.start()
        try:
            function.invoke(func.QueueMessage(id=message.id, body=body), self.queue)
        except Exception as error:  # noqa: BLE001 as the host: whatever a function raises is a failed run
            _log(f"{function.name} failed: {error!r}")
            done.set()
            renewing.join()
            if (message.dequeue_count or 0) >= QUEUES["maxDequeueCount"]:
                self._poison(queue, message)
            else:
                queue.update_message(message, visibility_timeout=1)
            return
        done.set()
        renewing.join()
        self._delete(queue, message)

    def _renew(self, queue: QueueClient, message: QueueMessage, done: threading.Event) -> None:
        while not done.wait(INVISIBLE / 2):
            try:
                message.pop_receipt = queue.update_message(message, visibility_timeout=INVISIBLE).pop_receipt
            except ResourceNotFoundError:
                return

    def _poison(self, queue: QueueClient, message: QueueMessage) -> None:
        self.queue(f"{queue.queue_name}-poison").send_message(message.content)
        self._delete(queue, message)

    def _delete(self, queue: QueueClient, message: QueueMessage) -> None:
        with contextlib.suppress(ResourceNotFoundError):
            queue.delete_message(message)


class Web(BaseHTTPRequestHandler):
    """HTTP triggers."""

    host: Host
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        split = urlsplit(self.path)
        parameters = dict(parse_qsl(split.query))
        found = self._function(split.path)
        if found is None:
            self._reply(func.HttpResponse("", status_code=404))
            return
        function, route = found
        given = self.headers.get("x-functions-key") or parameters.get("code")
        if function.trigger["authLevel"].value != "anonymous" and given != os.environ.get(KEY):
            self._reply(func.HttpResponse("", status_code=401))
            return
        request = func.HttpRequest(
            method=self.command,
            url=f"http://{self.headers.get('Host')}{self.path}",
            headers=dict(self.headers.items()),
            params=parameters,
            route_params=route,
            body=body,
        )
        try:
            self._reply(function.invoke(request, self.host.queue))
        except Exception as error:  # noqa: BLE001 as the host
            _log(f"{function.name} failed: {error!r}")
            self._reply(func.HttpResponse("", status_code=500))

    def _function(self, path: str) -> tuple[Indexed, dict[str, str]] | None:
        for function in self.host.functions.values():
            trigger = function.trigger
            if trigger["type"] != "httpTrigger" or self.command not in [m.value for m in trigger["methods"]]:
                continue
            route = f"/{PREFIX}/{trigger['route']}"
            if "{*" in route:
                start, _, rest = route.partition("{*")
                if path.startswith(start) or path == start.rstrip("/"):
                    return function, {rest.rstrip("}"): path[len(start) :]}
            elif path == route:
                return function, {}
        return None

    do_GET = do_POST = do_OPTIONS = do_HEAD = _answer  # noqa: N815 named by the base class

    def _reply(self, answer: func.HttpResponse) -> None:
        body = answer.get_body()
        self.send_response(answer.status_code)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        for name, value in {"content-type": answer.mimetype, **headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 as the base class has it
        pass


def _tick() -> Any:
    """What the worker makes of the host's message about a timer."""
    told = {"IsPastDue": False, "Schedule": {"AdjustForDST": True}}
    return TimerRequestConverter.decode(Datum(json.dumps(told), "json"), trigger_metadata=None)


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    """Run until killed."""
    options = argparse.ArgumentParser()
    options.add_argument("--poll", type=float, help="seconds between two firings of the timer of `poll`")
    options.add_argument("--queue", action="store_true", help="listen to the queue")
    options.add_argument("--http", type=int, help="port of the web server, 0 for a free one")
    chosen = options.parse_args()
    host = Host(os.environ["AzureWebJobsStorage"])  # noqa: SIM112 the host spells it so
    threads = []
    if chosen.poll is not None:
        threads.append(threading.Thread(target=host.timer, args=("poll", chosen.poll), daemon=True))
    if chosen.queue:
        threads.append(threading.Thread(target=host.listen, args=("reconcile",), daemon=True))
    for thread in threads:
        thread.start()
    port = 0
    if chosen.http is not None:
        Web.host = host
        server = ThreadingHTTPServer(("127.0.0.1", chosen.http), Web)
        port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"ready {port}\n")
    sys.stdout.flush()
    # The test that started this process ends it, and a test that died closes its end of the pipe.
    sys.stdin.read()


if __name__ == "__main__":
    main()
