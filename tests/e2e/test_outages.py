"""What the watcher needs is gone for a while: what serves goes on, one sentence says so, and then all goes on."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.caller import Calls, calling
from tests.e2e.losing import SETTINGS, Running
from tests.e2e.reckoning import unexplained
from tests.e2e.world import Bed, World
from tests.gateway import disk
from tests.gateway.world import free_port, wait_until
from tests.registry.mlflow_world import server, sqlite_registry

pytestmark = pytest.mark.long


class Said:
    """What a watcher warns of, through a pipe: it has room whatever the disk has."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        os.set_blocking(self._read, False)
        self._text = b""

    def about(self, words: str) -> list[str]:
        """The lines so far that hold these words."""
        while True:
            try:
                part = os.read(self._read, 65536)
            except BlockingIOError:
                break
            self._text += part
        return [line for line in self._text.decode().splitlines() if words in line]

    def close(self) -> None:
        os.close(self._read)
        os.close(self.write)


@pytest.fixture
def said() -> Iterator[Said]:
    made = Said()
    yield made
    made.close()


@contextmanager
def in_a_rollout(world: World, said: Said, seed: int) -> Iterator[tuple[Running, Calls]]:
    """A client asks, and v2 is on its way over v1; in the end v2 reigns, and no request was lost."""
    with Running(world, random.Random(seed), err=said.write) as product:
        product.registers()
        product.settles()
        with calling(world.port, world.folder / "calls", rate=60.0, connections=6) as calls:
            product.registers()
            assert product.goes_on()
            yield product, calls
            product.settles()
    asked = calls.read()
    assert [one for one in asked if one.failed] == []
    assert unexplained(world.lines(), asked) == []
    assert {one.version for one in asked} == {1, 2}


def test_a_full_disk_of_the_watchers_costs_time_only(sqlite: Bed, said: Said) -> None:
    world = World(sqlite, SETTINGS)
    try:
        with in_a_rollout(world, said, seed=2) as (product, calls):
            with disk.full(lambda: [product.watcher]):
                wait_until(lambda: said.about("ledger.db: the disk"))
                before = len(calls.read())
                wait_until(lambda: len(calls.read()) > before + 100)
            wait_until(lambda: said.about("works again"))
        assert len(said.about("ledger.db: the disk")) == 1
    finally:
        world.close()


def test_a_registry_that_is_stopped_and_started_again_costs_time_only(
    tmp_path: Path, home: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, port = sqlite_registry(tmp_path), free_port()
    with ExitStack() as stack:
        up = stack.enter_context(ExitStack())
        uri = up.enter_context(server(backend, tmp_path, port))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        world = World(Bed(tmp_path, uri, home), SETTINGS)
        with in_a_rollout(world, said, seed=3) as (_, calls):
            up.close()
            wait_until(lambda: said.about("tries again"))
            before = len(calls.read())
            wait_until(lambda: len(calls.read()) > before + 100)
            stack.enter_context(server(backend, tmp_path, port))
            wait_until(lambda: said.about("works again"))
        told = said.about("tries again")
        assert len(told) == len({line.partition(":")[0] for line in told}), "each poll, and the model, once"
        assert all(f"127.0.0.1:{port}" in line for line in told)
        world.close()
