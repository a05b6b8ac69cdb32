"""One winner moves an endpoint, a batch job and a stream, or none of them: real pointers, trials and a real stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import deployers
from deployers.pointer import PointerDeployer
from scoring.delta.batch import Options, run
from tests.loop.world import KINDS, MODEL, World, target
from tests.scoring import world as jobs
from tests.scoring.processes import streaming
from watcher.ports import Deployer
from watcher.reconcile import Loop
from watcher.values import Call, Kind, Release, Target


def pointing(kind: str, pointer: Path, tables: jobs.Tables) -> Target:
    settings: dict[str, Any] = {"pointer": str(pointer), "input": tables.input}
    if kind == "stream":
        settings["output"] = tables.output
    return Target(kind, kind, Kind(kind), MODEL, "test", deployers.place(kind, settings), settings)


class Stored(PointerDeployer):
    """As the real one; the registry in memory has no artifacts, so where they lie is told here."""

    def __init__(self) -> None:
        super().__init__(run=jobs.run_here)
        self.models: dict[int, Path] = {}

    def launch(self, release: Release) -> None:
        where = str(self.models[release.version.number])
        super().launch(replace(release, version=replace(release.version, artifact_uri=where)))


class Place:
    """A model at an endpoint in memory, a batch job and a stream that are real."""

    def __init__(self, folder: Path) -> None:
        self.tables = jobs.Tables.made(folder)
        self.batch = folder / "nightly.json"
        places = (
            target("api"),
            pointing("batch", self.batch, self.tables),
            pointing("stream", Path(self.tables.pointer), self.tables),
        )
        self.world = World(targets=places)
        self.pointers = Stored()

    def loop(self) -> Loop:
        loop = self.world.worker()
        kinds: dict[str, Deployer] = {
            **dict.fromkeys(KINDS, self.world.deployer),
            "batch": self.pointers,
            "stream": self.pointers,
        }
        return replace(loop, sources=replace(loop.sources, deployers=kinds))

    def go_until(self, condition: Callable[[], object], patience: float = 60.0) -> None:
        loop, deadline = self.loop(), time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, self.world.tail(30)
            woken = self.world.wake(loop)
            if not woken.acted:
                # Jobs take real time; bakes and pauses take the loop's own, which passes at once.
                busy = woken.step.reason == "launching"
                time.sleep(0.02 if busy else 0.0)
                self.world.now = self.world.now + 0.02 if busy else max(self.world.now, woken.again or 0.0)

    def live(self, name: str) -> dict[int, int]:
        place = next(one for one in self.world.targets if one.name == name)
        seen = self.pointers.observe(place)
        return {
            release.version: seen.weights[release.name] for release in seen.releases if release.name in seen.weights
        }

    def register(self, auc: float, model: Path) -> int:
        number = self.world.train(auc)
        self.pointers.models[number] = model
        return number

    def crowned(self, version: int) -> bool:
        return self.world.champion() == version and self.world.registry.read(MODEL).challenger is None

    def met(self) -> bool:
        crown = self.world.registry.read(MODEL).crown
        return crown is not None and crown.met

    def versions(self) -> dict[int, int]:
        """Version -> rows of the output."""
        found = self.tables.scored()["model_version"].value_counts()
        return {int(version): int(rows) for version, rows in found.items()}


@pytest.mark.slow
def test_a_winner_an_order_and_a_loser_move_an_endpoint_a_batch_job_and_a_stream_together(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with streaming(place.tables.options()) as stream:
        one = place.register(0.8, jobs.linear(1.0))
        place.go_until(lambda: place.crowned(one))
        jobs.wait_until(lambda: place.tables.status["traffic"]["rows"] == jobs.ROWS)
        two = place.register(0.9, jobs.linear(2.0))
        place.go_until(lambda: place.crowned(two))
        # Crowned means that the stream has swapped, not only that its pointer was moved.
        assert place.tables.status["running"]["version"] == two
        place.tables.grow(30)
        jobs.wait_until(lambda: len(place.tables.scored()) == jobs.ROWS + 30)
        assert place.versions() == {one: jobs.ROWS, two: 30}
        assert (place.world.serving("api"), place.live("batch"), place.live("stream")) == ({two: 100},) * 3
        made, _ = run(Options(str(place.batch), place.tables.input, str(tmp_path / "runs")))
        assert (made.version, made.rows) == (two, jobs.ROWS + 30)

        bad = place.register(0.95, jobs.python_model("raises", "raise KeyError('bmi')"))
        place.go_until(lambda: place.world.call(bad) is Call.ROLLED_BACK and place.crowned(two))
        assert (place.world.serving("api"), place.live("batch"), place.live("stream")) == ({two: 100},) * 3

        place.world.registry.set_champion(MODEL, one)
        place.go_until(lambda: place.live("stream") == {one: 100} and place.met())
        assert place.tables.status["running"]["version"] == one
        place.tables.grow(5)
        jobs.wait_until(lambda: len(place.tables.scored()) == jobs.ROWS + 35)
        assert place.versions() == {one: jobs.ROWS + 5, two: 30}
        assert list(place.tables.scored()["id"]) == list(range(jobs.ROWS + 35))
        assert stream.poll() is None
