"""The command line as its users have it: a process of its own, a registry in a database, a ledger in a file."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.registry.mlflow_world import MlflowWorld, sqlite_registry

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60.0
SETTINGS = """\
version: 1
owner: me
registry: {uri: "sqlite:///registry.db"}
ledger: sqlite:///state/ledger.db
poll: {changes: 1s, marks: 1s, evidence: 1s}
policies:
  binary: {primary: {metric: auc}, floors: {auc: 0.95}}
rollouts:
  fast: {canary: [100], bake: 0s}
models:
  - name: churn
    mode: advise
    policy: binary
    rollout: fast
    targets: [{name: api, kind: local-endpoint, port: 5999, autostart: false}]
"""


class Shell:
    """Starts the command line in a folder with settings and a registry of one model."""

    def __init__(self, folder: Path, world: MlflowWorld) -> None:
        self.folder = folder
        self.world = world
        (folder / "watch.yaml").write_text(SETTINGS)

    def train(self) -> None:
        self.world.create_version("churn", {"auc": 0.9})

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator[Running]:
        """A command with both its outputs; killed where it is still there after the block, or after a minute."""
        with subprocess.Popen(
            [sys.executable, "-m", "watcher", *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            watchdog = threading.Timer(PATIENCE, process.kill)
            watchdog.start()
            try:
                yield Running(process, process.stdout, process.stderr)
            finally:
                watchdog.cancel()
                process.kill()

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        with self.running(*arguments) as command:
            out, err = command.process.communicate()
            return command.process.returncode, out, err


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[str]
    out: IO[str]
    err: IO[str]

    def rest(self) -> str:
        """What is still to come on stdout, until the process ends."""
        text = self.out.read()
        self.process.wait()
        return text


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("shell")
    uri = sqlite_registry(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        made = Shell(folder, MlflowWorld(uri, folder))
        made.train()
        yield made


def test_orders_and_answers_on_a_real_registry_and_ledger(shell: Shell) -> None:
    code, out, err = shell("tick", "--json")
    assert (code, err) == (0, "")
    assert [step["verb"] for step in json.loads(out)[0]["steps"]] == ["tag"]
    code, _, err = shell("hold", "churn", "--reason", "month end")
    assert (code, err) == (0, "")
    code, out, _ = shell("history", "churn", "--json")
    assert code == 0
    assert [line["data"]["detail"] for line in json.loads(out) if line["event"] == "order_asked"] == ["month end"]


def test_check_finds_that_the_gateway_does_not_run(shell: Shell) -> None:
    code, out, _ = shell("check", "--json")
    failed = [line["what"] for line in json.loads(out)["checks"] if line["ok"] is False]
    assert (code, failed) == (1, ["churn/api"])


def test_an_unreachable_registry_is_one_sentence_and_code_3(shell: Shell) -> None:
    (shell.folder / "away.yaml").write_text(SETTINGS.replace("sqlite:///registry.db", "http://127.0.0.1:9"))
    code, out, err = shell("plan", "-c", "away.yaml", "--json")
    told = json.loads(err)["error"]
    assert (code, out, told["kind"]) == (3, "", "out_of_reach")
    assert "127.0.0.1:9" in told["message"]


@pytest.mark.parametrize(("command", "code"), [("run", 2), ("check", 1)])
def test_a_mistyped_registry_is_one_sentence_and_no_new_registry(shell: Shell, command: str, code: int) -> None:
    (shell.folder / "typo.yaml").write_text(SETTINGS.replace("registry.db", "registri.db"))
    ended, out, err = shell(command, "-c", "typo.yaml")
    assert ended == code
    assert "there is no registry at" in " ".join((out + err).split())
    assert "Traceback" not in err
    assert not (shell.folder / "registri.db").exists()


def test_an_order_needs_no_ledger(shell: Shell) -> None:
    (shell.folder / "blocked").write_text("a file where the ledger's folder would be")
    (shell.folder / "lost.yaml").write_text(SETTINGS.replace("state/ledger.db", "blocked/ledger.db"))
    code, out, err = shell("-c", "lost.yaml", "rejudge", "churn", "1")
    assert code == 0
    assert "The order is not in the history" in err
    assert "judged again" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_ends_after_the_steps_under_way_when_it_is_asked_to(shell: Shell, number: signal.Signals) -> None:
    settings = f"{number.name}.yaml"
    (shell.folder / settings).write_text(SETTINGS.replace("ledger.db", f"{number.name}.db"))
    shell.train()
    with shell.running("-c", settings, "run", "--json") as command:
        first = command.out.readline()
        command.process.send_signal(number)
        told = [json.loads(line) for line in (first + command.rest()).splitlines()]
        err = command.err.read()
    assert (command.process.returncode, "Traceback" in err) == (0, False)
    begun = [line["data"]["slot"] for line in told if line["event"] == "intent"]
    ended = [line["data"]["slot"] for line in told if line["event"] in ("done", "failed")]
    assert begun == ended
    code, out, _ = shell("-c", settings, "history", "--most", "1000", "--json")
    assert (code, json.loads(out)) == (0, told)


def test_a_second_ctrl_c_ends_at_once(shell: Shell) -> None:
    """While the first waits for a poll of a registry that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE)
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (shell.folder / "silent.yaml").write_text(SETTINGS.replace("sqlite:///registry.db", uri))
        with shell.running("-c", "silent.yaml", "run") as command:
            asking, _ = silent.accept()
            command.process.send_signal(signal.SIGINT)
            assert any("Stopping" in line for line in command.err)
            command.process.send_signal(signal.SIGINT)
            command.process.wait()
            asking.close()
    assert command.process.returncode == 130


def test_a_reader_that_goes_away_is_no_error(shell: Shell) -> None:
    with shell.running("schema") as command:
        command.out.readline()
        command.out.close()
        err = command.err.read()
        command.process.wait()
    assert (command.process.returncode, err) == (0, "")


def test_the_first_ctrl_c_ends_what_goes_on_until_rest(shell: Shell) -> None:
    """While it waits for a version to be old enough, which is due only in a month."""
    text = SETTINGS.replace("ledger.db", "waiting.db").replace("floors: {auc: 0.95}", "min_age: 30d")
    (shell.folder / "waiting.yaml").write_text(text)
    shell.train()
    with shell.running("-c", "waiting.yaml", "tick", "--until-rest", "--wait", "3000000") as command:
        assert "seen for the first time" in command.out.readline()
        command.process.send_signal(signal.SIGINT)
        out, err = command.rest(), command.err.read()
    assert command.process.returncode == 130
    assert "Stopping after the steps under way" in err
    assert "waits. The version has not reached the policy's minimum age." in out


def test_ctrl_c_while_everything_is_still_imported_is_quiet(shell: Shell) -> None:
    slow = "import signal, os\nos.kill(os.getpid(), signal.SIGINT)\nraise AssertionError\n"
    (shell.folder / "typer.py").write_text(slow)
    try:
        code, out, err = shell("--help")
    finally:
        (shell.folder / "typer.py").unlink()
    assert (code, out, err) == (130, "", "")
