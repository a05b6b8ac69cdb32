"""The deployer of local endpoints keeps the contract, against a real gateway with real models."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import deployers
from deployers.local_endpoint import ABSENT, LocalEndpoint
from gateway import control
from tests.contract.deployer_suite import Bench, MakeVersion, MirroringContract, WaitUntil
from tests.gateway import world
from watcher.errors import Terminal, Transient, UserError
from watcher.naming import release_name
from watcher.ports import Deployer
from watcher.values import Example, Identity, Kind, Observed, Release, Status, Target, Version

pytestmark = pytest.mark.slow


def version_of(number: int, artifacts: Path) -> Version:
    return Version(
        Identity("prod.model", number, 1_700_000_000_000 + number, str(artifacts)), Status.READY, str(artifacts)
    )


def target_at(home: Path, port: int, **more: Any) -> Target:
    settings = {"port": port, "gateway": str(home), **more}
    place = deployers.place("local-endpoint", settings)
    return Target("api", "local-endpoint", Kind.ENDPOINT, "prod.model", "tests", place, settings)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with world.running(tmp_path_factory.mktemp("gateway")) as path:
        yield path


class TestLocalEndpoint(MirroringContract):
    @pytest.fixture
    def deployer(self) -> Deployer:
        return deployers.load("local-endpoint")(None)

    @pytest.fixture
    def target(self, home: Path) -> Iterator[Target]:
        target = target_at(home, world.free_port())
        yield target
        deployer = LocalEndpoint(None)
        seen = deployer.observe(target)
        if seen.weights:
            deployer.shift(target, {}, seen.token)
        for release in seen.releases:
            deployer.retire(target, release.name)

    @pytest.fixture
    def make_version(self) -> MakeVersion:
        return lambda number: version_of(number, world.linear())

    @pytest.fixture
    def broken_version(self, tmp_path: Path) -> Version:
        return version_of(9, tmp_path / "nothing-here")

    @pytest.fixture
    def mend(self, tmp_path: Path) -> Callable[[], object]:
        return lambda: shutil.copytree(world.linear(), tmp_path / "nothing-here")

    @pytest.fixture
    def wait_until(self) -> WaitUntil:
        return world.wait_until

    @pytest.fixture
    def example(self) -> Example:
        return Example(world.BODY, rows=1)

    @pytest.fixture
    def traffic(self, target: Target) -> Callable[[], Any]:
        def come() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", target.settings["port"])
            for _ in range(10):
                assert world.send(connection).status == 200
            connection.close()

        return come

    def test_a_probe_is_not_counted_as_traffic(self, bench: Bench, make_version: MakeVersion, example: Example) -> None:
        release = bench.launched(make_version(1))
        bench.shift({release.name: 100})
        assert bench.deployer.probe(release, example).ok
        seen = bench.seen(release.name)
        assert seen is not None
        assert seen.traffic.requests == 0

    def test_a_probe_that_the_model_refuses_says_what_it_said(self, bench: Bench, make_version: MakeVersion) -> None:
        release = bench.launched(make_version(1))
        probe = bench.deployer.probe(release, Example(b'{"dataframe_split": {"columns": ["x"], "data": [[1]]}}'))
        assert not probe.ok
        assert probe.version == 1
        assert probe.detail.startswith("400: ")
        assert "missing inputs" in probe.detail

    def test_a_probe_names_what_the_models_code_raised_first_on_one_line_and_without_secrets(
        self, bench: Bench, example: Example, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ps3cret")
        text = "raise ValueError('no \\x1b[2Jroute to db://ann:pw1@host, password=pw2, t0ps3cret' + 'x' * 500)"
        release = bench.launched(version_of(3, world.python_model("raises", text)))
        probe = bench.deployer.probe(release, example)
        assert (probe.ok, probe.version) == (False, 3)
        assert probe.detail.startswith("400: ValueError: no \N{REPLACEMENT CHARACTER}[2Jroute to db://***@host")
        assert "Encountered an unexpected error" in probe.detail
        assert len(probe.detail) < 500
        assert not [secret for secret in ("pw1", "pw2", "t0ps3cret", "\x1b", "\n") if secret in probe.detail]

    def test_nothing_can_be_adopted(self, bench: Bench, make_version: MakeVersion) -> None:
        with pytest.raises(Terminal):
            bench.deployer.adopt(bench.target, make_version(1))

    def test_a_port_in_use_is_said_and_found_by_check(
        self, bench: Bench, make_version: MakeVersion, home: Path
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            target = target_at(home, taken.getsockname()[1])
            release = replace(bench.release(make_version(1)), target=target)
            said = (
                f"127.0.0.1:{target.settings['port']} cannot be listened on: Address already in use; "
                f"{Path('/proc/self/comm').read_text().strip()} (process {os.getpid()}) has it: end that, or give the "
                "target another port."
            )
            with pytest.raises(Transient, match=re.escape(said)):
                bench.deployer.launch(release)
            assert bench.deployer.check(target) == [said]

    def test_a_port_of_another_gateway_is_said_with_that_gateways_home(
        self, bench: Bench, make_version: MakeVersion, home: Path, tmp_path: Path
    ) -> None:
        bench.launched(make_version(1))
        target = replace(bench.target, settings={**bench.target.settings, "gateway": str(tmp_path / "other")})
        (problem,) = bench.deployer.check(target)
        assert f"the gateway in {home} (process " in problem

    def test_what_the_settings_cannot_mean_is_the_persons_mistake(self, bench: Bench) -> None:
        for settings in ({"port": "5001"}, {"port": 0}, {"port": True}, {}):
            with pytest.raises(UserError):
                deployers.place("local-endpoint", settings)
        with pytest.raises(UserError):
            bench.deployer.observe(replace(bench.target, settings={"port": 5001}))


def test_a_gateway_that_does_not_run_serves_nothing_and_is_started_by_a_launch_not_by_a_look(tmp_path: Path) -> None:
    home = tmp_path / "gateway"
    target = target_at(home, world.free_port())
    version = Version(Identity(target.model, 1, 1, "models:/m-1"), Status.READY, str(tmp_path / "nothing"))
    try:
        assert LocalEndpoint(None).observe(target) == Observed(token=ABSENT)
        assert control.status(home) is None
        LocalEndpoint(None).launch(Release(target, release_name(version.identity), version))
        assert control.status(home) is not None
        assert [seen.version for seen in LocalEndpoint(None).observe(target).releases] == [1]
    finally:
        control.stop(home)


def test_a_gateway_that_must_not_be_started_is_told_how_to(tmp_path: Path) -> None:
    target = target_at(tmp_path / "gateway", world.free_port(), autostart=False)
    with pytest.raises(Transient, match=r"python.* -m gateway --home .* starts one"):
        LocalEndpoint(None).observe(target)
    assert len(LocalEndpoint(None).check(target)) == 1
    assert control.status(tmp_path / "gateway") is None


def test_a_gateway_that_can_be_started_passes_the_check_and_is_not_started_by_it(tmp_path: Path) -> None:
    assert LocalEndpoint(None).check(target_at(tmp_path / "gateway", world.free_port())) == []
    assert control.status(tmp_path / "gateway") is None


def test_an_unknown_kind_is_named_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="local-endpoint"):
        deployers.load("carrier-pigeon")
