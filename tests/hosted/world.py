"""One process of a host, on fakes: settings in a real file, everything else in memory, one virtual clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from watcher.config import kinds, load
from watcher.fakes.deployer import FakeDeployer
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.registry import FakeRegistry
from watcher.gather import Sources
from watcher.hosted.hooks import Hooks
from watcher.hosted.host import Host
from watcher.reconcile import Loop
from watcher.values import Example
from watcher.wiring import App

START = 1_800_000_000.0
SETTINGS = """\
version: 1
owner: me
registry: {uri: "http://127.0.0.1:9"}
policies:
  auc: {primary: {metric: auc}, signature: false}
rollouts:
  fast: {canary: [100], bake: 0s, analysis: {no_traffic: probe}, keep_warm: 0s}
models:
  - {name: churn, policy: auc, rollout: fast, targets: [{name: api, kind: local-endpoint, port: 5001}]}
  - {match: "fraud*", policy: auc, mode: advise}
"""


class Hosted:
    """The host, and the world around it."""

    def __init__(self, folder: Path, environ: dict[str, str] | None = None) -> None:
        self.now = START
        self.environ = environ or {}
        self.registry = FakeRegistry(self.clock)
        self.ledger = FakeLedger()
        self.deployer = FakeDeployer(self.clock, launch_seconds=0.0)
        (folder / "watch.yaml").write_text(SETTINGS)
        self._folder = folder
        self.host = self.process()
        self.hooks = Hooks(self.host)

    def clock(self) -> float:
        return self.now

    def process(self) -> Host:
        """A new process of the host: nothing in it but the ports."""
        settings = load(self._folder / "watch.yaml", {}, shapes=kinds.SHAPES.__getitem__, place=kinds.place)
        sources = Sources(self.registry, self.registry, {"local-endpoint": self.deployer}, lambda _: Example(b"{}"))
        loop = Loop(sources, self.ledger, settings.limits, self.clock, "w", settings.poll.evidence)
        app = App(settings, self.registry, self.ledger, loop, self.clock)
        return Host(self._folder, self.environ, self.clock, _app=app)

    def train(self, auc: float = 0.8, model: str = "churn", **facts: Any) -> int:
        self.now += 1.0
        return self.registry.create_version(model, {"auc": auc}, example=Example(b"{}", rows=1), **facts)
