"""The admin socket: every verb may be repeated, nothing is half done, and nonsense is refused in words."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway import control, processes
from gateway.errors import GatewayError
from tests.gateway import world
from tests.gateway.world import Endpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with world.running(tmp_path_factory.mktemp("gateway")) as home:
        endpoint = Endpoint(home).serving(world.linear())
        endpoint.ready("r2", world.linear(), 2)
        yield endpoint


def ask(endpoint: Endpoint, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    return control.ask(endpoint.home, method, path, body)


def test_only_the_owner_of_the_home_may_connect(endpoint: Endpoint) -> None:
    mode = (endpoint.home / "admin.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE((endpoint.home / "run").stat().st_mode) == 0o700


def test_putting_an_endpoint_again_changes_nothing(endpoint: Endpoint) -> None:
    before = endpoint.state
    endpoint.put("", {"port": endpoint.port, "owner": "tests", "model": "prod.model"}, 200)
    assert endpoint.state == before


@pytest.mark.parametrize("change", [{"owner": "else"}, {"model": "else"}])
def test_an_endpoint_of_another_owner_or_model_is_refused(endpoint: Endpoint, change: dict[str, str]) -> None:
    body = {"port": endpoint.port, "owner": "tests", "model": "prod.model"} | change
    told = endpoint.put("", body, 409)
    assert told["error_code"] == "OTHER_OWNER"
    assert "prod.model" in told["message"]


def test_a_port_in_use_is_one_clear_sentence(endpoint: Endpoint) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, told = ask(endpoint, "PUT", "/endpoints/busy", {"port": port, "owner": "tests", "model": "m"})
    assert code == 409
    assert told == {
        "error_code": "PORT_TAKEN",
        "message": f"127.0.0.1:{port} cannot be listened on: Address already in use.",
    }
    code, told = ask(endpoint, "PUT", "/endpoints/busy", {"port": endpoint.port, "owner": "tests", "model": "m"})
    assert (code, told["error_code"]) == (409, "PORT_TAKEN")
    assert "busy" not in ask(endpoint, "GET", "/state")[1]["endpoints"]


def test_an_address_of_another_machine_is_one_clear_sentence(endpoint: Endpoint) -> None:
    body = {"port": world.free_port(), "owner": "tests", "model": "m", "host": "192.0.2.1"}
    code, told = ask(endpoint, "PUT", "/endpoints/far", body)
    assert (code, told["error_code"]) == (409, "PORT_TAKEN")


def test_an_endpoint_moves_to_another_port(endpoint: Endpoint) -> None:
    old, new = endpoint.port, world.free_port()
    endpoint.put("", {"port": new, "owner": "tests", "model": "prod.model"}, 200)
    endpoint.port = new
    assert endpoint.ask().status == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old), timeout=5)


def test_launching_a_release_again_keeps_its_process(endpoint: Endpoint) -> None:
    pid = endpoint.release("r1")["pid"]
    endpoint.launch("r1", world.linear())
    assert endpoint.release("r1")["pid"] == pid


@pytest.mark.parametrize("change", [{"key": "1-ffffff"}, {"version": 3}, {"owner": "else"}, {"model": "else"}])
def test_a_release_of_another_identity_or_owner_is_refused(endpoint: Endpoint, change: dict[str, Any]) -> None:
    before = endpoint.release("r1")["key"]
    endpoint.put("/releases/r1", endpoint.spec(world.linear()) | change, 409)
    assert endpoint.release("r1")["key"] == before


def test_a_failed_release_says_why_and_is_started_again(endpoint: Endpoint, tmp_path: Any) -> None:
    endpoint.launch("broken", tmp_path / "nothing", 8)
    found = endpoint.settled("broken")
    assert found["state"] == "failed"
    assert "nothing" in found["detail"]
    assert "Traceback" not in found["detail"]
    import shutil

    shutil.copytree(world.linear(), tmp_path / "nothing")
    endpoint.ready("broken", tmp_path / "nothing", 8)
    assert ask(endpoint, "DELETE", "/endpoints/e/releases/broken")[0] == 204


def test_artifacts_that_are_no_model_say_so(endpoint: Endpoint, tmp_path: Any) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "notes.txt").write_text("hello")
    endpoint.launch("no-model", tmp_path / "artifacts", 8)
    assert "MLmodel" in endpoint.settled("no-model")["detail"]
    (tmp_path / "artifacts" / "MLmodel").write_text("flavors: {sklearn: {}}")
    endpoint.launch("no-model", tmp_path / "artifacts", 8)
    assert "python_function" in endpoint.settled("no-model")["detail"]
    assert ask(endpoint, "DELETE", "/endpoints/e/releases/no-model")[0] == 204


def test_weights_are_compared_and_written_in_one(endpoint: Endpoint) -> None:
    endpoint.weigh({"r1": 100})
    seen = endpoint.state["token"]

    def write(n: int) -> int:
        return ask(endpoint, "PUT", "/endpoints/e/weights", {"weights": {"r1": 100 - n, "r2": n}, "seen": seen})[0]

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(write, range(1, 17)))
    assert sorted(codes) == [200] + [409] * 15
    assert endpoint.state["weights"]["r2"] == codes.index(200) + 1
    endpoint.weigh({"r1": 100})


@pytest.mark.parametrize(
    "weights",
    [
        {"r1": 50},
        {"r1": 101},
        {"r1": -1, "r2": 101},
        {"r1": 50.0, "r2": 50},
        {"r1": True, "r2": 99},
        {"r1": "100"},
        [["r1", 100]],
        None,
        {"../r1": 100},
        {"R1": 100},
    ],
)
def test_weights_that_mean_nothing_are_refused(endpoint: Endpoint, weights: Any) -> None:
    before = endpoint.state
    assert ask(endpoint, "PUT", "/endpoints/e/weights", {"weights": weights, "seen": before["token"]})[0] == 400
    assert endpoint.state["weights"] == before["weights"]
    assert endpoint.state["token"] == before["token"]


def test_weights_of_an_absent_release_are_a_conflict(endpoint: Endpoint) -> None:
    body = {"weights": {"never": 100}, "seen": endpoint.state["token"]}
    assert ask(endpoint, "PUT", "/endpoints/e/weights", body)[0] == 409


def test_a_live_release_is_not_deleted_and_an_absent_one_is_no_mistake(endpoint: Endpoint) -> None:
    endpoint.weigh({"r1": 100})
    code, told = ask(endpoint, "DELETE", "/endpoints/e/releases/r1")
    assert (code, told["error_code"]) == (409, "LIVE")
    assert ask(endpoint, "DELETE", "/endpoints/e/releases/never")[0] == 204
    assert ask(endpoint, "DELETE", "/endpoints/never/releases/never")[0] == 204


def test_a_deleted_release_leaves_neither_files_nor_process(endpoint: Endpoint) -> None:
    endpoint.ready("gone", world.linear(), 9)
    pid = endpoint.release("gone")["pid"]
    assert ask(endpoint, "DELETE", "/endpoints/e/releases/gone")[0] == 204
    world.wait_until(lambda: not (endpoint.home / "releases" / "e" / "gone").exists())
    world.wait_until(lambda: processes.started(pid) is None, patience=5)


def test_deleting_and_launching_in_turns_ends_as_the_last_word_says(endpoint: Endpoint) -> None:
    for _ in range(6):
        endpoint.launch("turns", world.linear(), 9)
        assert ask(endpoint, "DELETE", "/endpoints/e/releases/turns")[0] == 204
    endpoint.ready("turns", world.linear(), 9)
    assert (endpoint.home / "releases" / "e" / "turns" / "model" / "MLmodel").exists()
    assert ask(endpoint, "DELETE", "/endpoints/e/releases/turns")[0] == 204


def test_a_release_waits_for_the_end_of_every_earlier_one_of_its_name(endpoint: Endpoint) -> None:
    endpoint.ready("again", world.linear(), 9)
    pid = endpoint.release("again")["pid"]
    os.kill(pid, signal.SIGSTOP)  # so that it takes its time to end
    for _ in range(2):
        assert ask(endpoint, "DELETE", "/endpoints/e/releases/again")[0] == 204
        endpoint.launch("again", world.linear(), 9)
    assert processes.started(pid) is not None
    endpoint.ready("again", world.linear(), 9)
    assert processes.started(pid) is None
    assert (endpoint.home / "releases" / "e" / "again" / "model" / "MLmodel").exists()
    assert ask(endpoint, "DELETE", "/endpoints/e/releases/again")[0] == 204


@pytest.mark.parametrize(
    "name", ["..", "../../etc", "%2e%2e", "A", "1a", "a_b", "a" * 64, "", "a.b", "é", "-a", "a\u0000"]
)
def test_names_that_could_be_anything_else_are_refused(endpoint: Endpoint, name: str) -> None:
    from urllib.parse import quote

    quoted = quote(name, safe="%")
    spec = endpoint.spec(world.linear())
    assert ask(endpoint, "PUT", f"/endpoints/e/releases/{quoted}", spec)[0] in (400, 404)
    body = {"port": world.free_port(), "owner": "tests", "model": "m"}
    assert ask(endpoint, "PUT", f"/endpoints/{quoted}", body)[0] in (400, 404)
    assert set(endpoint.state["releases"]) == {"r1", "r2"}


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1"},
        {"version": -1},
        {"version": True},
        {"key": ""},
        {"key": 5},
        {"artifact_uri": None},
        {"artifact_uri": "x" * 5000},
        {"artifact_uri": "a\nb"},
        {"memory": 0},
        {"memory": "1g"},
        {"env": "conda"},
        {"surprise": 1},
        {"owner": None},
        {"tracking_uri": 3},
    ],
)
def test_a_release_that_means_nothing_is_refused_in_words(endpoint: Endpoint, change: dict[str, Any]) -> None:
    told = endpoint.put("/releases/r9", endpoint.spec(world.linear()) | change, 400)
    assert next(iter(change)) in told["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"\xff", b"null", b"[" * 100_000])
def test_bodies_that_are_no_object_are_refused(endpoint: Endpoint, body: bytes) -> None:
    connection = control.UnixConnection(endpoint.home / "admin.sock", 10)
    connection.request("PUT", "/endpoints/e/weights", body)
    assert connection.getresponse().status == 400
    connection.close()


def test_an_enormous_body_is_refused(endpoint: Endpoint) -> None:
    connection = control.UnixConnection(endpoint.home / "admin.sock", 10)
    connection.request("PUT", "/endpoints/e/weights", json.dumps({"weights": "x" * 2_000_000}))
    assert connection.getresponse().status == 413
    connection.close()


def test_an_endpoint_without_releases_gives_its_port_back(endpoint: Endpoint) -> None:
    code, told = ask(endpoint, "DELETE", "/endpoints/e")
    assert (code, told["error_code"]) == (409, "LIVE")
    other = Endpoint(endpoint.home, "short-lived")
    assert other.ask(b"", "GET", "/ping").status == 503
    for _ in range(2):
        assert ask(endpoint, "DELETE", "/endpoints/short-lived")[0] == 204
    with pytest.raises(ConnectionRefusedError):
        other.ask()


def test_anything_else_is_not_found(endpoint: Endpoint) -> None:
    for method, path in (("GET", "/"), ("POST", "/state"), ("DELETE", "/state"), ("GET", "/endpoints/e/weights")):
        assert ask(endpoint, method, path)[0] == 404


def test_the_admin_socket_keeps_a_connection(endpoint: Endpoint) -> None:
    connection = control.UnixConnection(endpoint.home / "admin.sock", 10)
    for _ in range(3):
        connection.request("GET", "/state")
        assert connection.getresponse().read().startswith(b"{")
    connection.close()


def test_a_probe_answers_as_the_release_itself(endpoint: Endpoint) -> None:
    endpoint.weigh({"r1": 100})
    connection = control.UnixConnection(endpoint.home / "admin.sock", 10)
    connection.request("POST", "/endpoints/e/releases/r2/invocations", world.BODY, world.JSON)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["x-release"], answer.headers["x-model-version"]) == (200, "r2", "2")
    assert json.loads(answer.read()) == endpoint.ask().json()
    connection.close()
    assert endpoint.release("r2")["traffic"]["requests"] == 0


def test_a_damaged_state_file_does_not_keep_the_gateway_from_starting(tmp_path: Any) -> None:
    home = tmp_path / "gateway"
    with world.running(home):
        Endpoint(home)
    for damaged in ("{", "[]", '{"format": 99}', '{"format": 1, "endpoints": {"e": {"host": 5}}}', '{"format": 1}'):
        (home / "state.json").write_text(damaged)
        with world.running(home):
            assert control.ask(home, "GET", "/state")[1]["endpoints"] == {}
        assert [path.read_text() for path in home.glob("state.json.*")][-1:] == [damaged]
        for path in home.glob("state.json.*"):
            path.unlink()


def test_limits_that_mean_nothing_are_one_clear_sentence(tmp_path: Any) -> None:
    (tmp_path / "limits.json").write_text('{"wait": "long"}')
    with pytest.raises(GatewayError, match="wait must be a number above zero"):
        control.start(tmp_path)


def test_the_client_is_told_when_nobody_answers(tmp_path: Any) -> None:
    assert control.status(tmp_path) is None
    assert control.stop(tmp_path) is False
    with pytest.raises(FileNotFoundError):
        control.ask(tmp_path, "GET", "/state")
