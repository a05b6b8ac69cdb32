"""Where the time goes: CPU shares of what the benchmarks measure, by whose code spends it.

`python -m benchmarks --profile` prints them. CPU time, not wall time, so that other load does not show; under a
profiler small functions weigh more than they do without, so shares are good to a few percent.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

from benchmarks import history, registry, serving
from benchmarks.bench import Bench, quantile
from benchmarks.winners import World
from watcher.history import read_live
from watcher.ledger.sqlite import SqliteLedger

OWNERS = (
    ("sqlite3", "SQLite"),
    ("/sqlalchemy/", "SQLAlchemy"),
    ("/sqlparse/", "parsing the filter"),
    ("/mlflow/", "MLflow"),
    ("/google/", "protobuf"),
    ("/ruamel/", "YAML"),
    ("/json/", "JSON"),
    ("/watcher/fakes/", "the fakes"),
    ("/watcher/ledger/", "the ledger"),
    ("/watcher/judge/", "judging"),
    ("/watcher/", "the watcher"),
    ("/gateway/", "the gateway"),
)
REPEATS = 200


def shares(work: Callable[[], object]) -> Mapping[str, float]:
    """Percent of the CPU time by whose code it is; a built-in function counts for who called it."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(work)
    spent: Counter[str] = Counter()
    stats: Any = pstats.Stats(profile)
    for (file, _, name), (_, _, own, _, callers) in stats.stats.items():
        if file != "~" or "sqlite3" in name:
            spent[_owner(file + name)] += own
            continue
        for (above, _, called), (_, _, part, _) in callers.items():
            spent[_owner(above + called)] += part
    whole = sum(spent.values())
    return {owner: 100 * part / whole for owner, part in spent.most_common()}


def _owner(place: str) -> str:
    return next((owner for part, owner in OWNERS if part in place), "the rest of Python")


def all_of_them(bench: Bench) -> None:
    """Print each."""
    for name, found in (
        ("an idle poll, inside the registry's server", shares(_poll(bench))),
        ("the wake-ups of a rollout, on fakes", shares(_rollout(bench))),
        ("the history's answer", shares(_answer(bench))),
    ):
        print(f"{name}: {', '.join(f'{owner} {part:.0f} %' for owner, part in found.items() if part >= 1)}")
    parts = scoring(bench)
    whole = sum(parts.values())
    told = ", ".join(f"{name} {us:.0f} µs ({100 * us / whole:.0f} %)" for name, us in parts.items())
    print(f"one row in the worker: {told}")


def _poll(bench: Bench) -> Callable[[], object]:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{registry.seeded(bench, bench.of(1_000, 30), bench.of(100, 2))}")
    order = ["last_updated_timestamp DESC"]

    def polls() -> None:
        for _ in range(REPEATS):
            found = store.search_registered_models(max_results=25, order_by=order)
            json.dumps([str(model.to_proto()) for model in found])

    return polls


def _rollout(bench: Bench) -> Callable[[], object]:
    world = World(bench.of(1_000, 20), SqliteLedger(bench.fresh("profile") / "ledger.db"))
    world.drain(world.poller.changes())
    world.now += 3_600
    for number in range(10):
        world.train(f"bench.m{number:05}", 0.9)
    found = world.poller.changes()
    return lambda: world.drain(found)


def _answer(bench: Bench) -> Callable[[], object]:
    path = bench.fresh("profile") / "ledger.db"
    history.fill(path, bench.of(100_000, 10_000), 1)
    ledger = SqliteLedger(path)
    at = history.START + (history.END - history.START) * 0.9
    return lambda: [read_live(ledger, "bench.m00000", at) for _ in range(20)]


def scoring(bench: Bench) -> Mapping[str, float]:
    """CPU µs of the parts of one answer of the worker."""
    from gateway.scoring import Scorer

    scorer = Scorer(serving.model(bench))
    server = scorer._server  # noqa: SLF001 - taken apart on purpose
    text = serving.body().encode()
    spent: dict[str, list[float]] = {"predicting": [], "writing the answer": [], "all": []}

    def timed(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            began = time.process_time()
            try:
                return inner(*args, **more)
            finally:
                spent[name].append(time.process_time() - began)

        return call

    score = timed("all", scorer.score)
    with (
        mock.patch.object(scorer.model, "predict", timed("predicting", scorer.model.predict)),
        mock.patch.object(server, "predictions_to_json", timed("writing the answer", server.predictions_to_json)),
    ):
        for _ in range(REPEATS * 5):
            score(text, "application/json")
    parts = {name: quantile(values[REPEATS:], 0.5) * 1e6 for name, values in spent.items()}
    whole = parts.pop("all")
    return parts | {"reading JSON and making the table": whole - sum(parts.values())}
