"""A disk that takes no more: what serves goes on, an order is refused whole, and all goes on once there is room."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from gateway import artifacts, control
from gateway.files import has_room, is_full, read_json, write_json
from tests.gateway import disk, pids, world
from tests.gateway.world import Endpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with world.running(tmp_path_factory.mktemp("gateway"), backoff_most=0.5) as home:
        endpoint = Endpoint(home).serving(world.linear())
        endpoint.ready("r2", world.linear(), 2)
        yield endpoint


def full(endpoint: Endpoint) -> AbstractContextManager[None]:
    """For the whole gateway."""
    return disk.full(lambda: pids.all_of(endpoint.home))


def nearly(endpoint: Endpoint) -> AbstractContextManager[None]:
    """For whatever starts releases: the server writes down what it is told."""
    return disk.full(lambda: pids.carded(endpoint.home))


def known(endpoint: Endpoint) -> Any:
    """What the gateway says and has on disk, the counts apart."""
    said = {name: value for name, value in endpoint.state.items() if name != "releases"}
    releases = {name: (told["state"], told["version"]) for name, told in endpoint.state["releases"].items()}
    return said, releases, read_json(endpoint.home / "state.json")


def test_an_order_is_refused_whole_and_in_one_sentence_and_can_be_given_again(endpoint: Endpoint) -> None:
    other, moved = world.free_port(), world.free_port()
    mine = {"owner": "tests", "model": "prod.model"}
    orders: list[tuple[str, str, Any, int]] = [
        ("PUT", "/endpoints/other", {"port": other, **mine}, 200),
        ("PUT", "/endpoints/e", {"port": moved, **mine}, 200),
        ("PUT", "/endpoints/e/releases/r3", endpoint.spec(world.linear(), 3), 202),
        ("PUT", "/endpoints/e/releases/r2", endpoint.spec(world.linear(), 2, memory=900 << 20), 202),
        ("PUT", "/endpoints/e/weights", {"weights": {"r1": 50, "r2": 50}, "seen": endpoint.state["token"]}, 200),
        ("DELETE", "/endpoints/e/releases/r2", None, 204),
    ]
    before = known(endpoint)
    with full(endpoint):
        for method, path, body, _ in orders:
            code, told = control.ask(endpoint.home, method, path, body)
            assert (code, told["error_code"]) == (507, "RESOURCE_EXHAUSTED")
            assert told["message"] == (
                f"The disk of the gateway in {endpoint.home} takes no more (File too large); what serves goes on"
                " serving, and what needs room is tried again."
            )
            assert endpoint.ask().status == 200
        assert known(endpoint) == before
        for port in (other, moved):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
    assert list(endpoint.home.glob(".state*")) == []
    for method, path, body, code in orders:
        if path.endswith("/r2") and method == "DELETE":
            endpoint.port = moved
            endpoint.weigh({"r1": 100})
        assert control.ask(endpoint.home, method, path, body)[0] == code
    endpoint.settled("r3")
    assert control.ask(endpoint.home, "DELETE", "/endpoints/other")[0] == 204


def test_a_release_waits_for_room_and_then_comes_up_by_itself(endpoint: Endpoint) -> None:
    with nearly(endpoint):
        endpoint.launch("r4", world.linear(), 4)
        world.wait_until(lambda: "takes no more" in endpoint.release("r4")["detail"])
        assert endpoint.release("r4")["state"] == "starting", "a full disk says nothing about a version"
        assert endpoint.ask().status == 200
    assert endpoint.settled("r4")["state"] == "ready"


def test_a_worker_that_died_comes_back_once_there_is_room(endpoint: Endpoint) -> None:
    pid = endpoint.release("r1")["pid"]
    with nearly(endpoint):
        os.kill(pid, signal.SIGKILL)
        world.wait_until(lambda: "takes no more" in endpoint.release("r1")["detail"])
    assert endpoint.ask().status == 200, "it waits for the worker that comes"
    assert endpoint.release("r1")["pid"] != pid


def test_a_server_that_died_serves_again_while_there_is_no_room(endpoint: Endpoint) -> None:
    before = pids.server(endpoint.home)
    with full(endpoint):
        os.kill(before, signal.SIGKILL)
        assert endpoint.ask().status == 200
    assert pids.server(endpoint.home) != before


def test_a_model_that_prints_answers_although_its_log_takes_no_more(endpoint: Endpoint) -> None:
    model = world.python_model("prints", "import sys\nprint('x' * 9000)\nprint('y', file=sys.stderr)\nreturn [1.0]")
    endpoint.ready("prints", model, 5)
    endpoint.weigh({"prints": 100})
    with full(endpoint):
        assert [endpoint.ask().status for _ in range(3)] == [200] * 3
    endpoint.weigh({"r1": 100})


def test_a_file_that_could_not_be_written_is_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    write_json(file, [1])
    (tmp_path / f".state.json.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        write_json(file, [2] * 10_000)
    assert is_full(caught.value)
    assert read_json(file) == [1]
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_has_room_until_it_takes_no_more(tmp_path: Path) -> None:
    assert has_room(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with disk.full(lambda: [os.getpid()]):
        assert not has_room(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_artifacts_that_do_not_fit_are_told_apart_from_those_that_cannot_be_had(tmp_path: Path) -> None:
    with disk.full(lambda: [os.getpid()]), pytest.raises(OSError, match="No space left") as caught:
        artifacts.fetch(str(world.linear()), None, tmp_path / "r")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(Exception, match="nowhere") as other:
        artifacts.fetch(str(tmp_path / "nowhere"), None, tmp_path / "r")
    assert not is_full(other.value)
    assert list((tmp_path / "r").iterdir()) == []
