"""Evaluations in a folder that is shared and where nothing can be locked."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from evaluation import shared
from evaluation.job import Job
from evaluation.store import Store
from tests.evaluator.world import job, logistic, model

KEY, OTHER = "a" * 32, "b" * 32


def put(home: Path, key: str, asked: Job) -> None:
    path = Store(home).job(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"job": asked.to_json(), "attempt": 1}))


def test_looks_counted_at_once_are_never_the_same_lower_one(tmp_path: Path) -> None:
    looks: list[int] = []
    gate = threading.Barrier(8)

    def count(number: int) -> None:
        gate.wait()
        looks.append(shared.claimed(Store(tmp_path), "churn", "data", f"c{number}", 0))

    threads = [threading.Thread(target=count, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(look >= place for place, look in enumerate(sorted(looks), 1)), looks
    before = shared.claimed(Store(tmp_path), "churn", "data", "c0", 0)
    assert before in looks
    assert shared.claimed(Store(tmp_path), "churn", "data", "later", 0) > max(looks)


def test_looks_one_after_the_other_are_counted_by_one_and_go_on_above_what_is_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert [shared.claimed(store, "churn", "data", each, 0) for each in ("x", "y", "x", "z")] == [1, 2, 1, 3]
    assert shared.claimed(store, "churn", "other data", "x", 0) == 1
    assert shared.claimed(store, "fraud", "data", "x", 0) == 1
    assert shared.claimed(store, "churn", "data", "v", 9) == 10


def test_a_claim_of_a_run_that_was_killed_counts_as_a_look(tmp_path: Path) -> None:
    store = Store(tmp_path)
    shared.claimed(store, "churn", "data", "x", 0)
    (found,) = tmp_path.glob("looks/*/data/x.json")
    found.write_text("")
    assert shared.claimed(store, "churn", "data", "y", 0) == 2
    assert shared.claimed(store, "churn", "data", "x", 0) == 3


def test_a_champion_that_was_scored_by_another_run_is_not_scored_again(tmp_path: Path) -> None:
    home, champion = tmp_path / "home", tmp_path / "champion"
    shutil.copytree(logistic(0), champion)
    put(home, KEY, job(logistic(0, 1), champion))
    shared.run(home, KEY)
    first = json.loads(Store(home).result(KEY).read_text())
    assert (first["state"], first["look"], first["attempt"]) == ("done", 1, 1)
    shutil.rmtree(champion)
    asked = job(logistic(0, 1, 2), None)
    put(home, OTHER, Job(**{**{f: getattr(asked, f) for f in Job.__slots__}, "champion": model(1, champion)}))
    shared.run(home, OTHER)
    second = json.loads(Store(home).result(OTHER).read_text())
    assert (second["state"], second["look"], second["data"]) == ("done", 2, first["data"])
    assert [*home.glob("scores/*/*/predictions.parquet")]
    assert not [*home.rglob("*.lock")]


def test_a_request_that_shows_late_is_waited_for(tmp_path: Path) -> None:
    absent = job(tmp_path / "gone", None)
    late = threading.Timer(0.3, put, (tmp_path, KEY, absent))
    late.start()
    shared.run(tmp_path, KEY)
    assert json.loads(Store(tmp_path).result(KEY).read_text())["state"] == "failed"


@pytest.mark.parametrize("key", [KEY, "../../etc/passwd", ""])
def test_a_request_that_is_not_there_ends_the_run_with_a_sentence(tmp_path: Path, key: str) -> None:
    with pytest.raises(SystemExit, match="There is no request"):
        shared.run(tmp_path, key, patience=0.0)
    assert not [*tmp_path.rglob("*")]
