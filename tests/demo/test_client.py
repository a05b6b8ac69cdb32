"""The client counts right answers by version, and tells failures apart; it never asks twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from demo.client import CONNECTIONS, Client, same
from demo.counts import AWAY, Counts

ENOUGH = 20
EXPECTED: dict[str, list[float | None]] = {"1": [1.5, 2.5], "6": [1.25, None]}
Answer = tuple[int, str | None, object]


def row(body: bytes) -> int:
    found: int = json.loads(body)["row"]
    return found


def prediction(value: object) -> object:
    return {"predictions": [value]}


@contextmanager
def serving(answer: Callable[[int], Answer | None]) -> Iterator[tuple[str, list[int]]]:
    """An endpoint that answers by the number of the row; None drops the connection. Also the rows it was asked."""
    asked: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            number = row(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(number)
            told = answer(number)
            if told is None:
                self.close_connection = True
                return
            status, version, body = told
            text = json.dumps(body).encode()
            self.send_response(status)
            if version is not None:
                self.send_header("X-Model-Version", version)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/invocations", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def counted(tmp_path: Path, answer: Callable[[int], Answer | None], done: Callable[[], None] = lambda: None) -> Counts:
    """What the client wrote down after a while with such an endpoint; `done` is called once it was told to stop."""
    (tmp_path / "requests.json").write_text(json.dumps([json.dumps({"row": number}) for number in range(2)]))
    for version, values in EXPECTED.items():
        (tmp_path / f"{version}.json").write_text(json.dumps(values))
    with serving(answer) as (url, asked):
        client = Client(url, tmp_path)
        thread = threading.Thread(target=client.run, args=(tmp_path / "counts.json",))
        thread.start()
        deadline = time.monotonic() + 30
        while len(asked) < ENOUGH and time.monotonic() < deadline:
            time.sleep(0.01)
        client.stop.set()
        done()
        thread.join()
        counts = Counts.read(tmp_path / "counts.json")
        assert counts.sent == counts.answered == len(asked) >= ENOUGH
    return counts


def test_equal_answers_are_counted_by_the_version_that_gave_them(tmp_path: Path) -> None:
    counts = counted(tmp_path, lambda n: (200, "1", prediction(EXPECTED["1"][n])))
    assert counts.answers == {"1": counts.sent}
    assert counts.failed == 0
    assert len(counts.returns["1"]) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _: (200, "1", prediction(9.0)), "version 1 answered 200"),
        (lambda _: (200, "1", {"predictions": [1.5, 2.5]}), "version 1 answered 200"),
        (lambda _: (200, "1", "nonsense"), "version 1 answered 200"),
        (lambda n: (200, "6", prediction(EXPECTED["1"][n])), "version 6 answered 200"),
        (lambda n: (200, "3", prediction(EXPECTED["1"][n])), "version 3 answered 200"),
        (lambda n: (200, None, prediction(EXPECTED["1"][n])), "version not named answered 200"),
        (lambda n: (200, "../1", prediction(EXPECTED["1"][n])), "version ../1 answered 200"),
        (lambda n: (503, "1", prediction(EXPECTED["1"][n])), "version 1 answered 503"),
        (lambda _: (502, None, {}), "version not named answered 502"),
        (lambda _: None, "no answer: "),
    ],
)
def test_anything_else_is_a_failure_told_in_words(
    answer: Callable[[int], Answer | None], words: str, tmp_path: Path
) -> None:
    counts = counted(tmp_path, answer)
    assert (counts.failed, counts.answers, counts.own) == (counts.sent, {}, {})
    assert all(words in failure for failure in counts.failures)


def test_what_a_versions_own_model_cannot_answer_is_told_apart(tmp_path: Path) -> None:
    def answer(number: int) -> Answer:
        wanted = EXPECTED["6"][number]
        return (200, "6", prediction(wanted)) if wanted is not None else (400, "6", {"error_code": "BAD_REQUEST"})

    counts = counted(tmp_path, answer)
    assert counts.failed == 0
    assert counts.own["6"] > 0
    assert counts.answers["6"] > 0


def test_a_prediction_out_of_nothing_is_a_failure_too(tmp_path: Path) -> None:
    counts = counted(tmp_path, lambda n: (200, "6", prediction(EXPECTED["6"][n] or 7.0)))
    assert counts.failed > 0
    assert counts.own == {}


def test_every_connection_is_kept_busy(tmp_path: Path) -> None:
    """Nobody is answered before as many requests are under way as there are connections, time and again."""
    rounds: list[None] = []
    together = threading.Barrier(CONNECTIONS, action=lambda: rounds.append(None), timeout=10)

    def answer(number: int) -> Answer:
        with suppress(threading.BrokenBarrierError):
            together.wait()
        return 200, "1", prediction(EXPECTED["1"][number])

    counts = counted(tmp_path, answer, done=together.abort)
    assert len(rounds) >= ENOUGH // CONNECTIONS - 1
    assert counts.answers == {"1": counts.sent}


def test_a_version_that_was_away_comes_back() -> None:
    counts = Counts()
    for at in (10.0, 10.5, 10.5 + AWAY, 20.0, 20.1):
        counts.came("1", at)
    assert counts.returns == {"1": [10.0, 20.0]}
    assert counts.last == {"1": 20.1}
    assert (counts.first_since(1, 5.0), counts.first_since(1, 11.0), counts.first_since(1, 21.0)) == (10.0, 20.0, None)
    assert counts.first_since(2, 0.0) is None


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"predictions": ["1.5"]}', b'{"predictions": []}', b"\xff"])
def test_a_body_that_is_no_prediction_is_not_the_same(body: bytes) -> None:
    assert not same(body, 1.5)
