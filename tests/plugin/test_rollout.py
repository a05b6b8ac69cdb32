"""The whole loop on a plugin by `watcher tick`: a first champion, a better version, an order back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import deployers
from deployers.mlflow_plugin import PluginDeployer
from tests.plugin import world
from tests.plugin.world import Zygote, calls, deployed
from tests.registry.mlflow_world import MlflowWorld, sqlite_registry
from watcher import config, wiring
from watcher.cli import session
from watcher.cli.main import main

pytestmark = pytest.mark.slow
MODEL = "risk.churn"
SETTINGS = """\
version: 1
owner: tests
registry: {{uri: "{uri}"}}
policies: {{auc: {{primary: {{metric: auc, min_gain: 0.002}}, signature: false}}}}
rollouts: {{quick: {{canary: [10, 100], bake: 1s, probe: {{file: rows.json}}, keep_warm: 0s}}}}
models:
  - name: {model}
    policy: auc
    rollout: quick
    targets: [{{name: api, kind: mlflow-plugin, plugin: "little:{there}", deployment: churn}}]
"""


def test_winners_reach_a_plugins_deployment_and_an_order_takes_it_back(
    tmp_path: Path, zygote: Zygote, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "elsewhere"
    there.mkdir()
    uri = sqlite_registry(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    registry = MlflowWorld(uri, tmp_path)
    path = tmp_path / "watch.yaml"
    path.write_text(SETTINGS.format(uri=uri, model=MODEL, there=there))
    (tmp_path / "rows.json").write_bytes(world.EXAMPLE.body)
    ahead = 0.0
    settings = config.load(path, {}, shapes=deployers.shape, place=deployers.place)
    app = wiring.build(settings, {}, clock=lambda: time.time() + ahead)
    app.loop.sources.deployers._built["mlflow-plugin"] = PluginDeployer(run=zygote)  # type: ignore[attr-defined]  # noqa: SLF001 - its processes start faster
    monkeypatch.setattr(session, "make_app", lambda *_: app)
    watched = app.watched(MODEL)
    assert watched is not None
    (target,) = watched.targets
    registry.client.create_registered_model(MODEL)

    def train(auc: float) -> str:
        number = len(list((tmp_path / "models").glob("*"))) + 1
        run = registry.client.create_run(registry.experiment)
        registry.client.log_metric(run.info.run_id, "auc", auc)
        files = world.model(tmp_path, number).artifact_uri
        registry.client.create_model_version(MODEL, files, run_id=run.info.run_id)
        return files

    def until(number: str, files: str) -> None:
        """Tick, and let time pass, until this version is the champion and serves alone."""
        nonlocal ahead
        for _ in range(300):
            capsys.readouterr()
            main(["--config", str(path), "--json", "tick", MODEL])
            (told,) = json.loads(capsys.readouterr().out)
            champion = registry.client.get_registered_model(MODEL).aliases.get("champion")
            if str(champion) == number and deployed(target) == {"churn": files} and not told["steps"]:
                return
            if not told["steps"]:
                time.sleep(0.02)
                ahead += min(max((told["again"] or 0) - app.clock(), 0.0), 30.0)
        raise AssertionError(f"{champion} is the champion, {deployed(target)} serves: {told}")

    first = train(0.80)
    until("1", first)
    live = [line for line in app.ledger.history(MODEL, most=1000) if line.event == "live"]
    assert [(line.reason, (line.data or {})["weights"]) for line in live] == [("switch", {"1": 100})]
    second = train(0.85)
    until("2", second)
    train(0.70)
    main(["--config", str(path), "rollback", MODEL])
    until("1", first)
    assert calls(target).count("create churn") == 1
