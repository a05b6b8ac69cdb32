"""Any one process may be killed at any time: the others go on, and what was lost comes back by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import control, processes
from gateway.paths import home as home_of
from tests.gateway import pids, world
from tests.gateway.load import Told, load
from tests.gateway.world import Endpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with world.running(tmp_path_factory.mktemp("gateway")) as home:
        yield Endpoint(home).serving(world.linear())


def killed(home: Path) -> None:
    """Supervisor and server at once, so that neither starts the other again."""
    supervisor, server = pids.supervisor(home), pids.server(home)
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(server, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)


def replaced(endpoint: Endpoint, pid: int) -> None:
    """Wait until another process serves the release."""
    world.wait_until(lambda: endpoint.release("r1")["pid"] not in (None, pid))


def more(told: Told, answers: int) -> None:
    """Wait until the load was answered so many times more."""
    before = told.total
    world.wait_until(lambda: told.total > before + answers)


def test_a_killed_worker_is_replaced_and_at_most_the_requests_in_flight_fail(endpoint: Endpoint) -> None:
    clients = 4
    with load(endpoint, clients) as told:
        world.wait_until(lambda: told.total > 50)
        for _ in range(3):
            pid = endpoint.release("r1")["pid"]
            os.kill(pid, signal.SIGKILL)
            replaced(endpoint, pid)
            more(told, 50)
    assert set(told.statuses) <= {200, 502}
    assert told.statuses[502] <= 3 * clients
    assert endpoint.release("r1")["detail"]


def test_a_killed_server_is_restarted_and_takes_over_the_running_workers(endpoint: Endpoint) -> None:
    pid = endpoint.release("r1")["pid"]
    token, weights = endpoint.state["token"], endpoint.state["weights"]
    zygote = pids.zygote(endpoint.home)
    with load(endpoint) as told:
        world.wait_until(lambda: told.total > 50)
        os.kill(pids.server(endpoint.home), signal.SIGKILL)
        more(told, 100)
    assert endpoint.release("r1")["pid"] == pid
    assert pids.zygote(endpoint.home) == zygote
    assert endpoint.state["weights"] == weights
    assert endpoint.state["token"] != token, "counts started again, so the token they belong to must be another"
    broken_off = {"ConnectionResetError", "BrokenPipeError", "RemoteDisconnected"}
    assert set(told.statuses) <= {200} | broken_off, "nobody was refused"


def test_connections_made_while_the_server_is_down_wait_instead_of_being_refused(endpoint: Endpoint) -> None:
    os.kill(pids.server(endpoint.home), signal.SIGKILL)
    assert [endpoint.ask().status for _ in range(5)] == [200] * 5


@pytest.mark.parametrize("victims", [("server",), ("server", "supervisor")], ids=" and ".join)
def test_a_question_that_dies_with_the_server_is_asked_again(
    victims: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = control.ask
    with world.running(tmp_path / "gateway") as home:
        supervisor = pids.supervisor(home)
        asked: list[str] = []

        def interrupted(path: Path, method: str, target: str) -> tuple[int, Any]:
            asked.append(target)
            if len(asked) > 1:
                return ask(path, method, target)
            if "supervisor" in victims:
                killed(home)
            else:
                os.kill(pids.server(home), signal.SIGKILL)
            raise ConnectionResetError

        monkeypatch.setattr(control, "ask", interrupted)
        told = control.status(home)
        assert told is None if "supervisor" in victims else told is not None and told["supervisor"] == supervisor


def test_a_killed_supervisor_is_replaced_with_all_it_held_and_no_request_fails(endpoint: Endpoint) -> None:
    before, server = pids.supervisor(endpoint.home), pids.server(endpoint.home)
    pid, weights = endpoint.release("r1")["pid"], endpoint.state["weights"]
    with load(endpoint) as told:
        world.wait_until(lambda: told.total > 50)
        os.kill(before, signal.SIGKILL)
        world.wait_until(lambda: endpoint.state["weights"] == weights)
        assert control.status(endpoint.home)
        world.wait_until(lambda: processes.started(server) is None)
        more(told, 50)
    assert set(told.statuses) == {200}
    assert pids.supervisor(endpoint.home) != before
    assert endpoint.release("r1")["pid"] == pid


def test_a_gateway_whose_supervisor_was_killed_can_be_stopped_at_once(tmp_path: Path) -> None:
    with world.running(tmp_path / "gateway") as home:
        endpoint = Endpoint(home).serving(world.linear())
        os.kill(pids.supervisor(home), signal.SIGKILL)
        assert control.stop(home)
        assert control.status(home) is None
        with pytest.raises(ConnectionRefusedError):
            endpoint.ask()


def test_a_killed_zygote_takes_no_worker_with_it_and_is_replaced(endpoint: Endpoint) -> None:
    pid, zygote = endpoint.release("r1")["pid"], pids.zygote(endpoint.home)
    with load(endpoint) as told:
        os.kill(zygote, signal.SIGKILL)
        world.wait_until(lambda: told.total > 100)
    assert set(told.statuses) == {200}
    assert endpoint.release("r1")["pid"] == pid
    endpoint.ready("r2", world.linear(), 2)
    assert pids.zygote(endpoint.home) != zygote


def test_a_worker_killed_while_there_is_no_zygote_comes_back(endpoint: Endpoint) -> None:
    pid = endpoint.release("r1")["pid"]
    os.kill(pids.zygote(endpoint.home), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    replaced(endpoint, pid)
    assert endpoint.ask().status == 200


def test_server_and_worker_killed_together_come_back(endpoint: Endpoint) -> None:
    pid = endpoint.release("r1")["pid"]
    os.kill(pids.server(endpoint.home), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    assert endpoint.ask().status == 200
    assert endpoint.release("r1")["pid"] != pid


def test_no_process_becomes_a_zombie(endpoint: Endpoint) -> None:
    def zombies() -> list[str]:
        parent = pids.supervisor(endpoint.home)
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] == "Z" and int(fields[1]) == parent:
                found.append(stat.parent.name)
        return found

    world.wait_until(lambda: not zombies(), patience=15)


def test_a_release_that_is_gone_from_the_state_leaves_no_process(endpoint: Endpoint) -> None:
    """A stray card: a process that an earlier server started and never came to know."""
    stray = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    run = home_of(endpoint.home).run
    try:
        card = processes.Card(stray.pid, processes.started(stray.pid) or "", "0123456789ab", "e", "gone", "9-ffffff")
        processes.write(run, card)
        world.wait_until(lambda: stray.poll() is not None)
        world.wait_until(lambda: processes.read(processes.path_of(run, card.nonce)) is None)
    finally:
        stray.kill()
        stray.wait()


def test_a_card_of_a_pid_that_was_given_to_another_process_harms_nobody(endpoint: Endpoint) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    run = home_of(endpoint.home).run
    try:
        card = processes.Card(bystander.pid, "1", "ba9876543210", "e", "gone", "9-ffffff")
        processes.write(run, card)
        world.wait_until(lambda: processes.read(processes.path_of(run, card.nonce)) is None)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_two_gateways_do_not_share_a_home(endpoint: Endpoint) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "gateway", "--home", str(endpoint.home)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode != 0
    assert second.stderr == f"A gateway already runs in {endpoint.home.resolve()}.\n"
    assert endpoint.ask().status == 200


def test_starting_one_that_runs_changes_nothing(endpoint: Endpoint) -> None:
    before = pids.supervisor(endpoint.home)
    control.start(endpoint.home)
    assert pids.supervisor(endpoint.home) == before


def test_a_stopped_gateway_comes_back_with_everything_it_served(tmp_path: Path) -> None:
    home = tmp_path / "gateway"
    with world.running(home):
        endpoint = Endpoint(home).serving(world.linear())
        endpoint.ready("r2", world.linear(), 2)
        endpoint.weigh({"r1": 70, "r2": 30})
        before = endpoint.state
    assert control.status(home) is None
    with world.running(home):
        world.wait_until(lambda: {r["state"] for r in endpoint.state["releases"].values()} == {"ready"})
        assert endpoint.ask().status == 200
        after = endpoint.state
    assert after["weights"] == before["weights"]
    assert after["token"] != before["token"]
    assert {n: (r["key"], r["version"]) for n, r in after["releases"].items()} == {
        n: (r["key"], r["version"]) for n, r in before["releases"].items()
    }


def test_deleted_artifacts_do_not_keep_a_release_from_coming_back(tmp_path: Path) -> None:
    import shutil

    artifacts = tmp_path / "artifacts"
    shutil.copytree(world.linear(), artifacts)
    with world.running(tmp_path / "gateway") as home:
        endpoint = Endpoint(home).serving(artifacts)
        shutil.rmtree(artifacts)
        pid = endpoint.release("r1")["pid"]
        os.kill(pid, signal.SIGKILL)
        replaced(endpoint, pid)
        assert endpoint.ask().status == 200


def test_workers_whose_gateway_is_gone_for_good_end_by_themselves(tmp_path: Path) -> None:
    home = tmp_path / "gateway"
    with world.running(home, abandoned=2.0):
        endpoint = Endpoint(home).serving(world.linear())
        cards = processes.cards(home_of(home).run)
        assert len(cards) == 2
        pid = pids.server(home)
        killed(home)
        world.wait_until(lambda: not any(processes.alive(card) for card in cards), patience=20)
        world.wait_until(lambda: processes.started(pid) is None, patience=10)
        with pytest.raises(ConnectionRefusedError):
            endpoint.ask()


def test_a_successor_takes_over_the_workers_of_a_gateway_that_was_killed(tmp_path: Path) -> None:
    home = tmp_path / "gateway"
    with world.running(home):
        endpoint = Endpoint(home).serving(world.linear())
        pid = endpoint.release("r1")["pid"]
        killed(home)
        world.wait_until(lambda: control.status(home) is None)
        control.start(home)
        world.wait_until(lambda: endpoint.state["problem"] is None)
        assert endpoint.ask().status == 200
        assert endpoint.release("r1")["pid"] == pid


def test_a_home_whose_path_is_too_long_for_a_socket_works(tmp_path: Path) -> None:
    with world.running(tmp_path / ("long" * 20) / ("path" * 20)) as home:
        assert Endpoint(home).serving(world.linear()).ask().status == 200


def test_files_of_a_release_that_is_gone_are_removed_at_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / "gateway" / "releases" / "e" / "gone"
    left.mkdir(parents=True)
    with world.running(tmp_path / "gateway"):
        assert not left.exists()


def test_where_there_is_no_zygote_releases_get_processes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "sklearn"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no such thing')\n")
    model = world.python_model("without-sklearn", "return [7.0]")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    with world.running(tmp_path / "gateway") as home:
        endpoint = Endpoint(home).serving(model)
        assert endpoint.ask().json() == {"predictions": [7.0]}
