"""Evaluations whose rows Spark's workers score: the contract, and the very findings of the runner of one machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deltalake
import pyspark
import pytest
from pyarrow import parquet

from evaluation.bounded import tree
from evaluation.job import Source
from evaluation.spark import PASSED_ON
from evaluation.store import Store
from tests.contract.evaluator_suite import EvaluatorContract, ScoringContract
from tests.contract.local_evaluations import LocalWorld
from tests.evaluator.models import does
from tests.evaluator.test_misbehaving import PROBLEMS
from tests.evaluator.world import frame, in_process, job, logistic, of

if TYPE_CHECKING:
    import pandas as pd

HERE = "local[2]"
PATIENCE = 300.0
"""Seconds for one model: on a machine that is busy Spark takes a minute to start."""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine on which nobody set anything up; the session of the other tests did."""
    for name in (*PASSED_ON, "PYTHONPATH"):
        if name != "JAVA_HOME":
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def world(tmp_path: Path) -> LocalWorld:
    made = LocalWorld(tmp_path, "spark", PATIENCE)
    made.rules = replace(made.rules, job={"master": HERE})
    return made


class TestSparkEvaluator(EvaluatorContract):
    """The life of one evaluation."""


@pytest.mark.long
class TestSparkEvaluatorAtLength(ScoringContract):
    """The rest of it."""


def as_parquet(rows: pd.DataFrame, folder: Path) -> Source:
    rows.to_parquet(folder / "rows.parquet")
    return Source(str(folder / "rows.parquet"))


def as_csv(rows: pd.DataFrame, folder: Path) -> Source:
    rows.to_csv(folder / "rows.csv", index=False)
    return Source(str(folder / "rows.csv"))


def as_delta(rows: pd.DataFrame, folder: Path) -> Source:
    """Two files, and a third one that came later."""
    for part in (rows[:25_000], rows[25_000:], rows[:100]):
        deltalake.write_deltalake(str(folder / "rows"), part.reset_index(drop=True), mode="append")
    return Source(str(folder / "rows"), "delta", 1)


@pytest.mark.parametrize(
    "put", [as_delta, *(pytest.param(put, marks=pytest.mark.long) for put in (as_parquet, as_csv))]
)
def test_both_runners_find_the_same_on_the_same_rows_and_the_second_looks_no_second_time(
    put: Callable[[pd.DataFrame, Path], Source], tmp_path: Path
) -> None:
    # More rows than are with the workers at once.
    source, home = put(frame(40_000, 5), tmp_path), tmp_path / "evaluations"
    slices = (("region", 100),)
    asked = job(logistic(0, 1), logistic(0), data=source, slices=slices, timeout=PATIENCE)
    there = in_process(replace(asked, master=HERE), home)
    here = in_process(asked, tmp_path / "others")
    assert there["state"] == here["state"] == "done", (there, here)
    assert there["rows"] == 40_000
    for same in ("data", "rows", "table_version", "look", "level", "changed"):
        assert there[same] == here[same]
    for one, other in zip(there["scores"], here["scores"], strict=True):
        numbers = {key: value for key, value in other.items() if isinstance(value, float)}
        assert {key: one[key] for key in numbers} == pytest.approx(numbers, abs=1e-12)
        assert one.keys() == other.keys()
    kept = [sorted(Store(folder).home.glob("scores/*/*/*.parquet")) for folder in (home, tmp_path / "others")]
    for one, other in zip(*kept, strict=True):
        assert parquet.read_schema(one).equals(parquet.read_schema(other))

    before = {path: path.stat().st_mtime_ns for path in kept[0]}
    again = in_process(asked, home)
    assert (again["look"], again["data"], of(again, "roc_auc")) == (1, here["data"], of(there, "roc_auc"))
    assert {path: path.stat().st_mtime_ns for path in kept[0]} == before, "a model was scored again"


LIKE = {"crashes": "Version 2: it could not score the holdout: the process that scored ended without a word."}


@pytest.mark.parametrize(
    "deed", [pytest.param(d, marks=[pytest.mark.long] * (d != "crashes")) for d in sorted(PROBLEMS)]
)
def test_a_model_that_misbehaves_on_a_worker_is_a_finding_about_that_model(
    deed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "a secret that no model sees")
    others = set(tree(os.getpid()))
    seconds = 90.0 if deed == "hangs" else PATIENCE
    asked = job(does(deed), None, metrics=("log_loss",), timeout=seconds, memory=2 * 2**30, master=HERE)
    told = in_process(asked, tmp_path)
    assert (told["state"], told["fault"]) == ("failed", "challenger"), told
    expected = LIKE.get(deed, PROBLEMS[deed].replace("6 s", "90 s").replace("900 MB", "2,048 MB"))
    assert told["why"].startswith(expected), told["why"]
    assert set(tree(os.getpid())) <= others


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Callable[[], None]]]:
    """A master on loopback, and what lets a worker join it."""
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    master, running = f"spark://127.0.0.1:{port}", []

    def begin(kind: str, *arguments: str) -> None:
        program = Path(pyspark.__file__).parent / "bin" / "spark-class"
        command = [str(program), f"org.apache.spark.deploy.{kind}", "--host", "127.0.0.1", "--webui-port", "0"]
        with (tmp_path / "cluster.log").open("ab") as log:
            running.append(subprocess.Popen([*command, *arguments], stdout=log, stderr=log, cwd=tmp_path))

    def join() -> None:
        begin("worker.Worker", "--cores", "2", "--memory", "1g", "--work-dir", str(tmp_path / "work"), master)

    begin("master.Master", "--port", str(port))
    try:
        yield master, join
    finally:
        for process in running:
            process.terminate()
            process.wait()


@pytest.mark.long
def test_a_cluster_scores_what_it_has_the_libraries_for_and_no_model_is_blamed_for_the_rest(
    cluster: tuple[str, Callable[[], None]], tmp_path: Path
) -> None:
    master, join = cluster
    asked: dict[str, Any] = {"timeout": PATIENCE, "master": master}
    wait_for(master)
    told = in_process(job(logistic(0), None, **asked | {"timeout": 20.0}), tmp_path / "empty")
    assert (told["state"], told["fault"]) == ("failed", "elsewhere")
    assert told["why"] == f"Spark at {master} cannot score: no worker took its rows, and it was not done after 20 s."

    join()
    told = in_process(job(logistic(0, 1), logistic(0), **asked), tmp_path / "full")
    assert of(told, "roc_auc")["low"] > 0.0

    old = logistic(0, requirements=("mlflow", "scikit-learn<1", "cloudpickle"))
    told = in_process(job(old, None, **asked), tmp_path / "old")
    assert (told["state"], told["fault"]) == ("failed", "elsewhere")
    assert "its workers lack what the model needs: it needs scikit-learn<1, and" in told["why"]


def wait_for(master: str) -> None:
    """Until it takes connections."""
    from evaluation.spark import missing
    from tests.contract.real_models import wait_until

    wait_until(lambda: not missing(master))
