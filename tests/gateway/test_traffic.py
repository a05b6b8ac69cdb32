"""Weights, swaps and counts as the clients of a public port see them."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator

import pytest

from gateway import control
from tests.gateway import world
from tests.gateway.load import load
from tests.gateway.world import BODY, Endpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with world.running(tmp_path_factory.mktemp("gateway")) as home:
        endpoint = Endpoint(home)
        for n in (1, 2, 3):
            endpoint.ready(f"r{n}", world.linear(), n)
        yield endpoint


def answers(endpoint: Endpoint, count: int) -> Counter[str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=30)
    try:
        return Counter(world.send(connection).release for _ in range(count))
    finally:
        connection.close()


def test_a_kept_connection_gets_the_releases_by_their_weights(endpoint: Endpoint) -> None:
    for weights in ({"r1": 90, "r2": 10}, {"r1": 50, "r2": 30, "r3": 20}, {"r3": 100}):
        endpoint.weigh(weights)
        assert answers(endpoint, 100) == weights


def test_every_answer_names_the_release_and_its_version(endpoint: Endpoint) -> None:
    endpoint.weigh({"r2": 100})
    for answer in (
        endpoint.ask(),
        endpoint.ask(b"{"),
        endpoint.ask(b"", "GET", "/ping"),
        endpoint.ask(b"", "GET", "/nope"),
    ):
        assert (answer.release, answer.headers["x-model-version"]) == ("r2", "2")


def test_an_endpoint_without_weights_says_so(endpoint: Endpoint) -> None:
    endpoint.weigh({})
    for answer in (endpoint.ask(), endpoint.ask(b"", "GET", "/ping")):
        assert answer.status == 503
        assert "No release" in answer.json()["message"]
    endpoint.weigh({"r1": 100})


def test_predictions_are_counted_and_nothing_else(endpoint: Endpoint) -> None:
    endpoint.weigh({"r1": 100})
    for _ in range(5):
        endpoint.ask()
    for _ in range(3):
        endpoint.ask(b"{")
    for path in ("/ping", "/version", "/nope", "/invocations"):
        endpoint.ask(b"", "GET", path)
    traffic = endpoint.release("r1")["traffic"]
    assert (traffic["requests"], traffic["errors"]) == (8, 3)
    assert 0 < traffic["p50_ms"] <= traffic["p95_ms"] < 5_000


def test_counts_start_again_with_the_token(endpoint: Endpoint) -> None:
    endpoint.weigh({"r1": 100})
    endpoint.ask()
    endpoint.weigh({"r1": 100})
    assert endpoint.release("r1")["traffic"]["requests"] == 0


def test_a_client_that_left_is_counted_all_the_same(endpoint: Endpoint) -> None:
    import socket

    endpoint.weigh({"r1": 100})
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", endpoint.port)) as peer:
            peer.sendall(
                b"POST /invocations HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                % len(BODY)
                + BODY
            )
    world.wait_until(lambda: endpoint.release("r1")["traffic"]["requests"] == 4)


def test_twenty_swaps_under_load_lose_nothing(endpoint: Endpoint) -> None:
    endpoint.weigh({"r1": 100})
    with load(endpoint) as told:
        for n in range(20):
            old, new = f"s{n - 1}" if n else "r1", f"s{n}"
            endpoint.ready(new, world.linear(), 100 + n)
            endpoint.weigh({new: 100})
            if n:
                code, _ = control.ask(endpoint.home, "DELETE", f"/endpoints/e/releases/{old}")
                assert code == 204
    assert set(told.statuses) == {200}
    assert {f"s{n}" for n in range(19)} <= set(told.releases)
    endpoint.weigh({"r1": 100})


def test_requests_in_flight_are_answered_when_their_release_is_retired(endpoint: Endpoint) -> None:
    slow = world.python_model("slow", "import time\ntime.sleep(1.0)\nreturn [1.0]")
    endpoint.ready("slow", slow, 50)
    endpoint.weigh({"slow": 100})
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(endpoint.ask)
        import time

        time.sleep(0.3)  # it is on its way, the model sleeps a second
        endpoint.weigh({"r1": 100})
        assert control.ask(endpoint.home, "DELETE", "/endpoints/e/releases/slow")[0] == 204
        assert "slow" not in endpoint.state["releases"]
        answer = asked.result()
    assert (answer.status, answer.release) == (200, "slow")


def test_two_endpoints_of_one_gateway_do_not_mix(endpoint: Endpoint) -> None:
    other = Endpoint(endpoint.home, "other", model="another.model")
    other.ready("r1", world.linear("cloudpickle"), 7)
    other.weigh({"r1": 100})
    endpoint.weigh({"r1": 100})
    assert (endpoint.ask().headers["x-model-version"], other.ask().headers["x-model-version"]) == ("1", "7")
    assert json.loads(json.dumps(other.state["releases"]["r1"]["key"])) == "7-abcdef"
