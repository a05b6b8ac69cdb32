"""The loop, a real gateway and clients that never stop: what a challenger says to copies of their requests decides."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployers.local_endpoint import LocalEndpoint
from tests.contract.test_local_endpoint import target_at
from tests.gateway import world as gateways
from tests.gateway.load import load
from tests.gateway.world import Endpoint
from tests.loop.world import MODEL, POLICY
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.registry import FakeRegistry
from watcher.gather import Sources
from watcher.ports import Line
from watcher.reconcile import Loop
from watcher.sentences import render
from watcher.settings import Limits, Watched
from watcher.values import Analysis, Call, Example, Mode, Rollout

pytestmark = pytest.mark.slow
ROLLOUT = Rollout(
    canary=(100,),
    bake=0.5,
    analysis=Analysis(min_requests=20, max_p95_ratio=1e6, max_disagreement=0.5),
    mirror=50,
    keep_warm=3_600.0,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with gateways.running(tmp_path_factory.mktemp("gateway"), request=5.0) as path:
        yield path


@pytest.mark.parametrize(
    ("source", "call", "reason", "said"),
    [
        (None, Call.WINS, "canary_step", "0 failed, 0 of"),
        ("return [7.0] * len(model_input)", Call.ROLLED_BACK, "analysis_disagreement", "answers differ"),
        (
            "if len(model_input) == 1:\n    return [7.0]\nraise ValueError('no')",
            Call.ROLLED_BACK,
            "analysis_errors",
            "mirrored requests failed",
        ),
    ],
    ids=["good", "with other answers", "failing on what clients send"],
)
def test_what_a_challenger_says_to_copies_decides_and_no_client_loses_an_answer(
    home: Path, source: str | None, call: Call, reason: str, said: str
) -> None:
    port = gateways.free_port()
    place = replace(target_at(home, port), model=MODEL, owner="tests")
    registry, ledger, deployer = FakeRegistry(time.time), FakeLedger(), LocalEndpoint(None)
    rows = [[0.5, -1.25, 3.0, 0.125]] * 2
    asked = json.dumps({"dataframe_split": {"columns": gateways.COLUMNS, "data": rows}}).encode()
    sources = Sources(registry, registry, {"local-endpoint": deployer}, lambda _: Example(gateways.BODY))
    loop = Loop(sources, ledger, Limits(), time.time, "w", evidence_every=0.05)
    watched = Watched(MODEL, Mode.DEPLOY, POLICY, ROLLOUT, (place,))
    challenger = gateways.linear("cloudpickle") if source is None else gateways.python_model(reason, source)

    def until(done: int | None) -> Line | None:
        """Wake until this version is champion, or a rollout was rolled back (None)."""
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            if not loop.wake(watched).acted:
                time.sleep(0.02)  # time passes at a real gateway
            if done is not None and registry.read(MODEL).champion == done:
                return None
            if back := ledger.history(MODEL, event="rolled_back"):
                return back[0]
        raise AssertionError([line.reason for line in ledger.history(MODEL, most=10)])

    example = Example(gateways.BODY, rows=1)
    first = registry.create_version(MODEL, {"auc": 0.8}, example=example, source=str(gateways.linear()))
    assert until(first) is None
    with load(Endpoint(home, f"port-{port}", "tests", MODEL, port), 2, asked) as told:
        second = registry.create_version(MODEL, {"auc": 0.9}, example=example, source=str(challenger))
        back = until(second if call is Call.WINS else None)
        while call is not Call.WINS and getattr(registry.version(MODEL, second), "call", None) is not call:
            loop.wake(watched)
    assert set(told.statuses) == {200}
    if call is Call.WINS:
        line = next(x for x in ledger.history(MODEL, event="live") if (x.data or {}).get("mirrored"))
        assert line.data is not None
        assert line.data["mirrored"]["requests"] >= 20
    else:
        assert back is not None
        line = back
        assert line.data is not None
        assert len(told.releases) == 1, "no client was answered by the challenger"
    assert line.reason == reason
    assert said in render(line)
