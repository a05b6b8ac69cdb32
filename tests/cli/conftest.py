"""A desk with the whole command line on it, on fakes: settings in a real file, the world behind them in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import deployers
from watcher.cli import session
from watcher.cli.main import main
from watcher.config import kinds, load
from watcher.fakes.deployer import FakeDeployer
from watcher.fakes.evaluator import FakeEvaluator
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.registry import FakeRegistry
from watcher.gather import Sources
from watcher.ports import Ledger, Line
from watcher.reconcile import Loop
from watcher.telling import TellingLedger
from watcher.values import Example, Target, Version
from watcher.wiring import App

START = 1_800_000_000.0
SETTINGS = """\
version: 1
owner: me
registry: {uri: "http://127.0.0.1:9"}
policies:
  binary: {primary: {metric: auc, min_gain: 0.002}, floors: {auc: 0.5}, signature: false}
  measured:
    evaluate: {data: {uri: holdout.parquet}, target: y, metrics: [roc_auc]}
    primary: {metric: roc_auc}
    signature: false
  signed: {primary: {metric: auc}, signature: false, approval: {tag: approved_by}}
rollouts:
  fast: {canary: [10, 100], bake: 20s, analysis: {no_traffic: probe, min_requests: 10}, keep_warm: 60s}
models:
  - name: churn
    policy: binary
    rollout: fast
    targets: [{name: api, kind: local-endpoint, port: 5001}]
  - {name: risk, mode: advise, policy: measured}
  - match: fraud.*
    policy: signed
    rollout: fast
    targets: [{name: live, kind: stream, pointer: "pointers/{model_slug}.json"}]
"""


@dataclass(frozen=True)
class Ran:
    """One command, as its caller sees it."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


class Desk:
    """The person at the keyboard, and the world."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "watch.yaml"
        self.path.write_text(SETTINGS)
        self.now = START
        self.registry = FakeRegistry(self.clock)
        self.ledger = FakeLedger()
        self.kept: Ledger = self.ledger
        self.deployer = FakeDeployer(self.clock)
        self.environ: dict[str, str] = {}
        self.evaluator = FakeEvaluator(self.clock)
        self.sample: Callable[[str], Example] = lambda _: Example(b"{}", rows=1)
        self._capture = capture

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float, _stop: threading.Event | None = None) -> None:
        self.now += seconds

    def app(self, config: Path, tell: Callable[[Line], None] | None) -> App:
        settings = load(config, self.environ)
        moved = dict.fromkeys(("local-endpoint", "stream"), self.deployer)
        sources = Sources(self.registry, self.registry, moved, self.sample, evaluator=self.evaluator)
        ledger = TellingLedger(self.kept, tell) if tell else self.kept
        loop = Loop(sources, ledger, settings.limits, self.clock, "w", settings.poll.evidence)
        return App(settings, self.registry, ledger, loop, self.clock)

    def __call__(self, *arguments: str) -> Ran:
        self._capture.readouterr()
        code = main(["--config", str(self.path), *arguments])
        told = self._capture.readouterr()
        return Ran(code, told.out, told.err)

    def train(self, auc: float | None = 0.8, model: str = "churn", **facts: Any) -> int:
        self.now += 1.0
        metrics = {} if auc is None else {"auc": auc}
        return self.registry.create_version(model, metrics, example=Example(b"{}", rows=3), **facts)

    def rest(self, *models: str) -> None:
        """Let the watcher go on until nothing is due within an hour."""
        ran = self("tick", "--until-rest", "--wait", "3600", "--most", "60", *models)
        assert ran.code in (0, 1), ran

    def crowned(self, auc: float = 0.8, model: str = "churn") -> int:
        version = self.train(auc, model)
        for _ in range(60):
            self("tick", model)
            self.now += 30.0
            if self.registry.read(model).champion == version and self.registry.read(model).challenger is None:
                return version
        raise AssertionError(self("history", model).out)

    def version(self, number: int, model: str = "churn") -> Version:
        found = self.registry.version(model, number)
        assert isinstance(found, Version)
        return found

    @property
    def target(self) -> Target:
        """The place that serves `churn`."""
        watched = self.app(self.path, None).watched("churn")
        assert watched is not None
        return watched.targets[0]

    def serving(self) -> dict[int, int]:
        place = self.deployer.places["local-endpoint:127.0.0.1:5001"]
        return {place.releases[name].version: percent for name, percent in place.weights.items()}

    def events(self, event: str, model: str = "churn") -> list[Line]:
        return list(self.ledger.history(model, event=event, newest_first=False))


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path, capsys)
    monkeypatch.setattr(session, "make_app", made.app)
    monkeypatch.setattr(session, "sleep", made.sleep)
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    # The settings' own notion of every kind, whichever of them can be moved yet.
    monkeypatch.setattr(deployers, "shape", kinds.SHAPES.__getitem__)
    monkeypatch.setattr(deployers, "place", kinds.place)
    return made
