"""Live requests are copied to a release without traffic; whatever it does with them, no client notices."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import control
from gateway.alike import alike
from tests.gateway import pids, world
from tests.gateway.load import load
from tests.gateway.world import COLUMNS, Endpoint

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"[1.0]", b"[1.0]", True),
        (b'{"predictions": [0.1, 2]}', b'{"predictions": [0.10000000001, 2.0]}', True),
        (b'{"predictions": [0.1]}', b'{"predictions": [0.1001]}', False),
        (b"[1.0, 2.0]", b"[1.0]", False),
        (b'{"a": 1}', b'{"b": 1}', False),
        (b'["cat"]', b'["dog"]', False),
        (b"[NaN, Infinity]", b"[NaN,Infinity]", True),
        (b"[NaN]", b"[1.0]", False),
        (b"[1]", b"[true]", False),
        (b"[null]", b"[0]", False),
        (b"[1e400]", b"[%d]" % 10**400, False),
        (b"0.1\n", b"0.10\n", True),
        (b"cat\n", b"dog\n", None),
        (b"[" * 100_000, b"{" * 100_000, None),
        (b"\xff", b"[1]", None),
    ],
)
def test_answers_are_the_same_where_their_numbers_are_close(one: bytes, other: bytes, *, same: bool | None) -> None:
    assert alike(one, other) is same
    assert alike(other, one) is same


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with world.running(tmp_path_factory.mktemp("gateway"), request=2.0, mirror_waiting=8) as home:
        endpoint = Endpoint(home).serving(world.linear())
        endpoint.ready("same", world.linear(), 2)
        yield endpoint


def mirrored(endpoint: Endpoint, release: str, percent: int = 100) -> None:
    endpoint.put("/mirror", {"mirror": {release: percent}, "seen": endpoint.state["token"]}, 200)


def counted(endpoint: Endpoint) -> dict[str, Any]:
    found: dict[str, Any] = endpoint.state["mirror"]["traffic"]
    return found


def settled(endpoint: Endpoint, requests: int) -> dict[str, Any]:
    """What the mirror counted, once it is that many requests."""
    world.wait_until(lambda: counted(endpoint)["requests"] + counted(endpoint)["dropped"] >= requests)
    return counted(endpoint)


def test_each_request_is_answered_by_the_champion_and_counted_for_both(endpoint: Endpoint) -> None:
    mirrored(endpoint, "same")
    for n in range(20):
        assert endpoint.ask().release == "r1"
        settled(endpoint, n + 1)
    for path, method in (("/ping", "GET"), ("/invocations", "GET")):
        endpoint.ask(b"", method, path)
    told = counted(endpoint)
    assert {name: told[name] for name in ("requests", "errors", "dropped", "compared", "disagreed")} == {
        "requests": 20,
        "errors": 0,
        "dropped": 0,
        "compared": 20,
        "disagreed": 0,
    }
    assert told["p95_ms"] > 0
    assert endpoint.release("r1")["traffic"]["requests"] == 20
    assert endpoint.release("same")["traffic"]["requests"] == 0


def test_only_the_share_that_was_asked_for_is_copied(endpoint: Endpoint) -> None:
    mirrored(endpoint, "same", 20)
    with load(endpoint, 1) as told:
        world.wait_until(lambda: endpoint.release("r1")["traffic"]["requests"] >= 500)
    total = endpoint.release("r1")["traffic"]["requests"]
    taken = counted(endpoint)["requests"] + counted(endpoint)["dropped"]
    # Five standard deviations of a binomial share of 20 %.
    assert abs(taken - 0.2 * total) <= 5 * (0.16 * total) ** 0.5
    assert set(told.statuses) == {200}


def test_other_answers_are_told_as_disagreement(endpoint: Endpoint) -> None:
    endpoint.ready("other", world.python_model("other", "return [7.0] * len(model_input)"), 3)
    mirrored(endpoint, "other")
    for n in range(5):
        assert endpoint.ask().json()["predictions"] != [7.0]
        settled(endpoint, n + 1)
    assert (counted(endpoint)["compared"], counted(endpoint)["disagreed"]) == (5, 5)


def test_what_both_refuse_counts_as_an_error_of_both_and_is_not_compared(endpoint: Endpoint) -> None:
    mirrored(endpoint, "same")
    assert endpoint.ask(b"{").status == 400
    told = settled(endpoint, 1)
    assert (told["errors"], told["compared"]) == (1, 0)
    assert endpoint.release("r1")["traffic"]["errors"] == 1


BAD = {
    "slow": "import time\ntime.sleep(0.3)\nreturn [1.0]",
    "failing": "raise ValueError('no')",
    "dying": "import os\nos._exit(3)",
    "hanging": "import time\ntime.sleep(1000)",
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_challenger_that_is_slow_fails_dies_or_hangs_costs_no_client_an_answer(endpoint: Endpoint, name: str) -> None:
    """Connections that are busy all the time; each of the four is counted for what it is."""
    endpoint.ready(name, world.python_model(name, BAD[name]), 10 + sorted(BAD).index(name))
    mirrored(endpoint, name)
    with load(endpoint) as told:
        world.wait_until(
            lambda: told.total >= 50 and counted(endpoint)["dropped"] > 0 and counted(endpoint)["requests"] >= 2
        )
    assert set(told.statuses) == {200}
    assert set(told.releases) == {"r1"}
    figures = counted(endpoint)
    if name == "slow":
        assert figures["errors"] == 0
        assert figures["p95_ms"] >= 280
    else:
        assert figures["errors"] == figures["requests"]
    endpoint.weigh({"r1": 100})


def test_a_body_that_is_streamed_or_too_large_reaches_the_mirror_whole_or_not_at_all(endpoint: Endpoint) -> None:
    mirrored(endpoint, "same")

    def ask(rows: int) -> int:
        body = json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [[0.1234567] * 4] * rows}}).encode()
        assert endpoint.ask(body).status == 200
        return len(body)

    assert 64 * 1024 < ask(2_000) < 256 * 1024
    told = settled(endpoint, 1)
    assert (told["requests"], told["errors"], told["compared"]) == (1, 0, 1)
    assert ask(9_000) > 256 * 1024
    told = settled(endpoint, 2)
    assert (told["requests"], told["dropped"]) == (1, 1)


def test_a_mirror_is_compared_before_it_is_written_and_counts_start_again(endpoint: Endpoint) -> None:
    mirrored(endpoint, "same")
    endpoint.ask()
    settled(endpoint, 1)
    before = endpoint.state["token"]
    told = endpoint.put("/mirror", {"mirror": {}, "seen": "another"}, 409)
    assert told["error_code"] == "CHANGED"
    mirrored(endpoint, "same", 50)
    after = endpoint.state
    assert after["token"] != before
    assert (after["mirror"]["percent"], after["mirror"]["traffic"]["requests"]) == (50, 0)
    assert after["releases"]["r1"]["traffic"]["requests"] == 0
    assert after["weights"] == {"r1": 100}


@pytest.mark.parametrize(
    ("mirror", "status", "code"),
    [
        ({"r1": 20}, 409, "LIVE"),
        ({"nobody": 20}, 409, "NOT_READY"),
        ({"same": 0}, 400, None),
        ({"same": 101}, 400, None),
        ({"same": True}, 400, None),
        ({"same": "20"}, 400, None),
        ({"same": 20, "r1": 20}, 400, None),
        ({"../..": 20}, 400, None),
        ([], 400, None),
        (None, 400, None),
    ],
)
def test_a_mirror_that_makes_no_sense_is_refused(
    endpoint: Endpoint, mirror: Any, status: int, code: str | None
) -> None:
    before = endpoint.state
    told = endpoint.put("/mirror", {"mirror": mirror, "seen": before["token"]}, status)
    assert told.get("error_code") == code or code is None
    assert endpoint.state == before


def test_a_mirror_ends_with_the_next_weights_and_with_its_release(endpoint: Endpoint) -> None:
    mirrored(endpoint, "same")
    endpoint.weigh({"r1": 100})
    assert endpoint.state["mirror"] is None
    endpoint.ready("leaving", world.linear(), 30)
    mirrored(endpoint, "leaving")
    assert control.ask(endpoint.home, "DELETE", "/endpoints/e/releases/leaving")[0] == 204
    assert endpoint.state["mirror"] is None
    assert endpoint.ask().status == 200


def test_a_mirror_outlives_a_server_that_is_killed_and_its_counts_start_again(tmp_path: Path) -> None:
    with world.running(tmp_path / "gateway") as home:
        endpoint = Endpoint(home).serving(world.linear())
        endpoint.ready("r2", world.linear(), 2)
        mirrored(endpoint, "r2", 30)
        before = endpoint.state["token"]
        with load(endpoint, 1) as told:
            world.wait_until(lambda: counted(endpoint)["requests"] > 0)
            os.kill(pids.server(home), signal.SIGKILL)
            world.wait_until(lambda: control.status(home) and endpoint.state["token"] != before)
            world.wait_until(lambda: counted(endpoint)["requests"] > 0)
        assert endpoint.state["mirror"]["percent"] == 30
        assert told.releases.keys() == {"r1"}
