"""Real models scored on real rows: the numbers, the rows, and what is never done twice."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation import running, statistics
from evaluation.answers import checked
from evaluation.bounded import tree
from evaluation.data import look
from evaluation.errors import EvaluationFailed
from evaluation.job import Job, Source
from evaluation.local import Local
from evaluation.rows import Kept, kept
from evaluation.statistics import values
from evaluation.store import Store
from tests.evaluator.models import logit
from tests.evaluator.world import ROWS, found, frame, holdout, in_process, job, logistic, of, over


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of evaluations for all: what one test had scored, the next need not."""
    return tmp_path_factory.mktemp("evaluations")


def manifests(home: Path) -> dict[str, float]:
    """Each model's scores that are kept, with the time they were written."""
    return {str(path.relative_to(home)): path.stat().st_mtime_ns for path in home.glob("scores/*/*/manifest.json")}


def test_the_better_model_is_better_on_the_same_rows_with_an_interval(home: Path) -> None:
    import mlflow.sklearn
    import pandas as pd
    from sklearn.metrics import log_loss, roc_auc_score

    told = in_process(job(logistic(0, 1), logistic(0)), home)
    auc, loss = of(told, "roc_auc"), of(told, "log_loss")
    rows = pd.read_parquet(holdout())
    chance = mlflow.sklearn.load_model(str(logistic(0, 1))).predict_proba(rows)[:, 1]
    assert auc["challenger"] == pytest.approx(roc_auc_score(rows["churned"], chance), abs=1e-12)
    assert loss["challenger"] == pytest.approx(log_loss(rows["churned"], chance), abs=1e-12)
    for score in (auc, loss):
        assert 0.0 < score["low"] < score["gain"] < score["high"]
    assert (told["rows"], told["look"], auc["rows"]) == (ROWS, 1, ROWS)
    assert 0.0 < told["changed"] < 0.5


def test_answers_and_losses_are_kept_row_by_row(home: Path) -> None:
    import pandas as pd

    in_process(job(logistic(0, 1), logistic(0)), home)
    for path in home.glob("scores/*/*/predictions.parquet"):
        table = pd.read_parquet(path)
        assert len(table) == ROWS
        assert {"proba.0", "proba.1", "loss.log_loss"} <= set(table.columns)
        about = json.loads(path.with_name("manifest.json").read_text())
        assert (about["rows"], about["name"]) == (ROWS, "churn")


def test_a_model_is_scored_once_on_the_same_rows_whoever_it_is_compared_with(home: Path) -> None:
    in_process(job(logistic(0, 1), logistic(0)), home)
    before = manifests(home)
    other = replace(job(logistic(0, 1), None), challenger=job(logistic(0), None).challenger)
    in_process(other, home)
    after = manifests(home)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("readable", [True, False])
def test_models_are_loaded_while_the_holdout_is_read(
    readable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, ends = {*tree(os.getpid())}, time.monotonic() + 60.0

    def late(*about: Any) -> Kept:
        while len({*tree(os.getpid())} - before) < 2:
            assert time.monotonic() < ends, "nothing is loaded before the rows are read"
            time.sleep(0.01)
        if not readable:
            raise EvaluationFailed("The holdout cannot be read.")
        return kept(*about)

    monkeypatch.setattr(running, "kept", late)
    told = in_process(job(logistic(0, 1), logistic(0)), tmp_path)
    assert (told["state"], told.get("why", "")) == (
        ("done", "") if readable else ("failed", "The holdout cannot be read.")
    )
    assert {*tree(os.getpid())} <= before
    assert not [*(tmp_path / "work").iterdir()]


def test_slices_are_measured_by_themselves_and_too_few_rows_are_said(home: Path) -> None:
    told = in_process(job(logistic(0, 1), logistic(0), slices=(("region", 1_500),)), home)
    north, south = (of(told, "roc_auc", "region", value) for value in ("north", "south"))
    assert north["low"] < north["gain"]
    assert north["rows"] + south["rows"] == ROWS
    assert south["challenger"] is None
    assert "fewer than the 1,500" in south["why"]


def test_rows_that_belong_together_are_counted_as_groups(home: Path) -> None:
    told = in_process(job(logistic(0, 1), logistic(0), group="customer"), home)
    assert of(told, "roc_auc")["clusters"] == ROWS // 2
    assert of(told, "roc_auc")["method"].startswith("cluster")


def test_how_many_rows_are_worked_on_at_once_does_not_show(tmp_path: Path) -> None:
    metrics, slices = ("roc_auc", "log_loss", "accuracy"), (("region", 1),)
    asked = job(logistic(0, 1), logistic(0), metrics=metrics, slices=slices, group="customer")
    whole = in_process(asked, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "BLOCK", 301)
        patch.setattr(values, "BLOCK", 301)
        parts = in_process(asked, tmp_path / "parts")
    for one, other in zip(whole["scores"], parts["scores"], strict=True):
        assert other == {name: _near(value) for name, value in one.items()}
    assert parts["changed"] == whole["changed"]


def _near(value: Any) -> Any:
    return pytest.approx(value, abs=1e-9) if isinstance(value, float) else value


def test_answers_that_a_full_disk_does_not_take_are_no_fault_of_the_model(tmp_path: Path) -> None:
    import pyarrow as pa

    asked, rows = job(logistic(0), None, metrics=("accuracy",)), used(tmp_path)
    answers = pa.table({"output.0": pa.array([0.0] * rows.rows)})
    with pa.OSFile(str(tmp_path / "answers.arrow"), "wb") as file, pa.ipc.new_stream(file, answers.schema) as stream:
        stream.write_table(answers)
    (tmp_path / "answers.parquet").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        checked(asked, rows, tmp_path / "answers.arrow", tmp_path / "predictions.parquet")


def test_a_later_look_at_the_same_holdout_has_wider_bounds(home: Path) -> None:
    asked, later = job(logistic(0, 1), logistic(0)), job(logistic(0), logistic(0, 1))
    first, second = in_process(asked, home), in_process(later, home)
    assert second["look"] > first["look"]
    assert second["level"] > first["level"] > 0.95
    widths = [found["high"] - found["low"] for found in (of(first, "roc_auc"), of(second, "roc_auc"))]
    assert widths[0] < widths[1], "the same two models, the other way round"
    assert in_process(asked, home)["look"] == first["look"]


def test_where_its_own_count_was_lost_it_goes_on_above_what_the_caller_remembers(home: Path, tmp_path: Path) -> None:
    asked = job(logistic(0, 1), logistic(0))
    identity = in_process(asked, home)["data"]
    shutil.copytree(home, tmp_path / "copy", ignore=shutil.ignore_patterns("looks"))
    assert in_process(replace(asked, looks=((identity, 7),)), tmp_path / "copy")["look"] == 8


def test_a_model_of_statsmodels_is_scored_by_the_probabilities_it_answers_with(home: Path) -> None:
    told = in_process(job(logit(), logistic(0), metrics=("roc_auc", "log_loss", "accuracy")), home)
    assert of(told, "roc_auc")["low"] > 0.0
    assert of(told, "accuracy")["challenger"] > of(told, "accuracy")["champion"]


def test_the_same_rows_from_csv_parquet_and_delta_give_the_same_numbers(home: Path, tmp_path: Path) -> None:
    import deltalake
    import pandas as pd

    rows = pd.read_parquet(holdout())
    rows.to_csv(tmp_path / "rows.csv", index=False)
    deltalake.write_deltalake(str(tmp_path / "rows"), rows)
    auc = {}
    for source in (Source(str(holdout())), Source(str(tmp_path / "rows.csv")), Source(str(tmp_path / "rows"))):
        told = in_process(job(logistic(0), None, data=source, metrics=("roc_auc",)), home)
        auc[source.uri] = of(told, "roc_auc")["challenger"]
    assert max(auc.values()) - min(auc.values()) < 1e-12


def test_a_delta_table_is_read_at_its_version_and_a_newer_one_is_other_data(tmp_path: Path) -> None:
    import deltalake

    table = str(tmp_path / "table")
    for seed in (1, 7):
        deltalake.write_deltalake(table, frame(500, seed), mode="overwrite")
    pinned, newest = (used(tmp_path, data=Source(table, "delta", version)) for version in (0, None))
    assert (pinned.table_version, newest.table_version) == (0, 1)
    assert pinned.identity != newest.identity
    with pytest.raises(EvaluationFailed, match="has no version 7, its newest is 1: "):
        used(tmp_path, data=Source(table, "delta", 7))


def test_one_row_far_down_makes_other_data(tmp_path: Path) -> None:
    rows, identities = frame(12_000, 3), set()
    for name in ("before", "after"):
        rows.to_parquet(tmp_path / f"{name}.parquet")
        identities.add(used(tmp_path, data=Source(str(tmp_path / f"{name}.parquet"))).identity)
        rows.loc[11_500, "x1"] += 1e-9
    assert len(identities) == 2


@pytest.mark.parametrize("group", [10, 1_000, 50_000])
def test_the_identity_of_rows_does_not_depend_on_how_a_file_is_cut(tmp_path: Path, group: int) -> None:
    import pandas as pd

    pd.read_parquet(holdout()).to_parquet(tmp_path / "cut.parquet", row_group_size=group)
    cut = used(tmp_path, data=Source(str(tmp_path / "cut.parquet")))
    assert cut.identity == used(tmp_path).identity


def test_of_a_large_holdout_rows_are_taken_evenly(tmp_path: Path) -> None:
    import pandas as pd

    taken = used(tmp_path, max_rows=1_000).columns()["churned"]
    assert taken.tolist() == pd.read_parquet(holdout())["churned"].iloc[3::4].tolist()


def test_of_wide_rows_fewer_are_in_memory_at_once(tmp_path: Path) -> None:
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    wide = pa.table({f"x{place}": np.zeros(8_000) for place in range(500)})
    parquet.write_table(wide, tmp_path / "wide.parquet")
    batches = [*look(Source(str(tmp_path / "wide.parquet")), None).batches()]
    assert sum(batch.num_rows for batch in batches) == 8_000
    assert max(batch.nbytes for batch in batches) <= 16 * 2**20


def used(home: Path, **changes: Any) -> Kept:
    """The rows that a job uses, as they are kept."""
    asked = job(logistic(0), None, **changes)
    return kept(asked, look(asked.data, None), Store(home))


PROBLEMS: dict[str, tuple[dict[str, Any], str]] = {
    "no such file": ({"data": Source("/nowhere/rows.parquet")}, "is not there"),
    "no such column": ({"target": "churn"}, "has no column 'churn'; it has: x0, x1, x2"),
    "no table version": ({"data": Source(str(Path(__file__)), "parquet", 3)}, "Only Delta tables have versions"),
    "not parquet": ({"data": Source(str(Path(__file__)), "parquet")}, "cannot be read"),
}


@pytest.mark.parametrize("problem", sorted(PROBLEMS))
def test_data_that_cannot_be_used_is_nobodys_fault_and_said(problem: str, tmp_path: Path) -> None:
    from evaluation.errors import Impossible

    changes, words = PROBLEMS[problem]
    try:
        told = in_process(job(logistic(0), None, **changes), tmp_path)
        why, fault = told["why"], told["fault"]
    except (EvaluationFailed, Impossible) as error:
        why, fault = str(error), "elsewhere"
    assert words in why
    assert fault == "elsewhere"


def test_an_evaluation_goes_on_after_whoever_began_it_and_after_being_killed(tmp_path: Path) -> None:
    local, asked = Local(tmp_path), job(logistic(0, 1), logistic(0))
    local.start(asked)
    key = next((tmp_path / "jobs").glob("*.json")).stem
    assert Local(tmp_path).observe(asked).state == "running"
    _kill_holder(Store(tmp_path).lock(key))
    assert local.observe(asked).state == "absent"
    seen = over(Local(tmp_path), asked)
    assert found(seen)["look"] == 1
    began = seen.since
    local.start(asked)
    assert local.observe(asked).since == began


def _holds(process: Path, lock: Path) -> bool:
    """Whether a process has the file open; others come, go and open files meanwhile."""
    with contextlib.suppress(OSError):
        for handle in list((process / "fd").iterdir()):
            with contextlib.suppress(OSError):
                if handle.resolve() == lock:
                    return True
    return False


def _kill_holder(lock: Path) -> None:
    """Kill the process that this evaluation runs in, as the kernel does when memory is short."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _holds(entry, lock):
            os.kill(int(entry.name), signal.SIGKILL)
            # Only then are its files closed, and the lock is free.
            os.waitpid(int(entry.name), 0)
            return
    raise AssertionError("nobody holds the lock")


def test_an_evaluation_that_is_killed_again_and_again_is_given_up_and_said(tmp_path: Path) -> None:
    local, asked = Local(tmp_path), job(logistic(0), None)
    for _ in range(3):
        local.start(asked)
        _kill_holder(Store(tmp_path).lock(next((tmp_path / "jobs").glob("*.json")).stem))
    seen = over(local, asked)
    assert (seen.state, seen.fault) == ("failed", "elsewhere")
    assert "killed 3 times" in seen.why


def test_a_failure_is_forgotten_after_a_while_and_tried_again(tmp_path: Path) -> None:
    asked: Job = job(logistic(0), None, target="churn")
    assert over(Local(tmp_path), asked).state == "failed"
    assert Local(tmp_path, again=0.0).observe(asked).state == "absent"
