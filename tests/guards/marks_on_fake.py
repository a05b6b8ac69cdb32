"""The registry in memory with MLflow's own way of writing marks before it, so that its guards can be tried out."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from watcher.errors import Terminal
from watcher.fakes.registry import FakeRegistry
from watcher.registry import tags
from watcher.registry.client import Client
from watcher.registry.dialects import MLFLOW
from watcher.registry.errors import Absent
from watcher.registry.marks import ModelMarks
from watcher.values import Crown, Marks


class MarksOnFake(FakeRegistry):
    """Reads and writes marks through `ModelMarks`; everything else is the fake's own."""

    def __init__(self, clock: Callable[[], float], staleness: float = 0.0) -> None:
        super().__init__(clock, staleness)
        self._through = ModelMarks(cast("Client", _Client(self)))

    def read(self, name: str) -> Marks:
        self._enter("read", name)
        return self._leave("read", self._through.read(name))

    def crown(self, name: str, version: int, crown: Crown, expect: Marks) -> None:
        self._enter("crown", name, version, crown)
        self._through.crown(name, version, crown, expect)
        self._leave("crown", None)

    def challenge(self, name: str, version: int | None, expect: Marks) -> None:
        self._enter("challenge", name, version)
        self._through.challenge(name, version, expect)
        self._leave("challenge", None)

    def write_crown(self, name: str, crown: Crown, expect: Marks) -> None:
        self._enter("write_crown", name, crown)
        self._through.write_crown(name, crown, expect)
        self._leave("write_crown", None)


class _Client:
    """What of MLflow's client the marks use, on the fake."""

    dialect = MLFLOW

    def __init__(self, fake: FakeRegistry) -> None:
        self._fake = fake

    def ask(self, doing: str, call: Callable[[Any], Any]) -> Any:
        try:
            return call(self)
        except Terminal as error:
            raise Absent(str(error)) from None

    def get_registered_model(self, name: str) -> Any:
        marks = FakeRegistry.read(self._fake, name)
        if not marks.exists:
            raise Absent(name)
        aliases = {"champion": marks.champion, "challenger": marks.challenger}
        texts: dict[str, str] = {}
        if marks.crown is not None:
            texts[tags.CROWN] = tags.crown_text(marks.crown)
        elif marks.problem is not None:
            texts[tags.CROWN] = "{"
        if marks.hold is not None:
            texts[tags.HOLD] = marks.hold
        newest = [SimpleNamespace(version=str(marks.newest))] if marks.newest else []
        there = {alias: str(version) for alias, version in aliases.items() if version is not None}
        return SimpleNamespace(name=name, aliases=there, tags=texts, latest_versions=newest)

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        FakeRegistry.set_alias(self._fake, name, alias, int(version))

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        FakeRegistry.delete_alias(self._fake, name, alias)

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        if key == tags.CROWN:
            self._fake._between("crown")  # noqa: SLF001
            FakeRegistry.set_crown(self._fake, name, tags.crown_from(value))
