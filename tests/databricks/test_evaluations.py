"""Evaluations as runs of a Databricks job: what is lost, refused, killed or rubbish costs time and no second run.

What the runs leave is written beforehand here; that real ones keep the contract is in tests/contract.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.evaluator_suite import STRONG, WEAK
from tests.databricks.control_plane import TOKEN, Workspace, serving
from tests.databricks.evaluation_world import HOME, JOB, DatabricksWorld
from tests.databricks.refused import Refused
from watcher.errors import Terminal, Transient
from watcher.evaluations import Evaluation, Fault, Progress
from watcher.evaluators.remote import AGAIN, RemoteEvaluator

TABLE = "/Volumes/ml/risk/data/table"
SCORE = {"metric": "roc_auc", "challenger": 0.8, "champion": 0.7, "gain": 0.1, "low": 0.05, "high": 0.15, "rows": 100}
DONE: dict[str, Any] = {
    "state": "done", "data": "d" * 64, "rows": 100, "table_version": None, "level": 0.95, "look": 1, "changed": 0.1,
    "seconds": 1.5, "leak": "", "overlap": None, "leak_unknown": "", "scores": [SCORE],
}  # fmt: skip


class Bench(DatabricksWorld):
    """Runs end when the test lets them, and leave what it says."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        super().__init__(workspace, folder)
        self.free = threading.Event()
        self.free.set()
        self.leaves: Callable[[int], str | None] = lambda attempt: json.dumps(
            {**DONE, "at": time.time(), "attempt": attempt}
        )
        self.fails: str | None = None
        self.work = self._scripted
        self.asked_for = self.asked(STRONG, WEAK)

    def _scripted(self, home: Path, key: str) -> None:
        attempt = json.loads((home / "jobs" / f"{key}.json").read_bytes())["attempt"]
        text = self.leaves(attempt)
        if text is not None:
            (home / "results").mkdir(exist_ok=True)
            (home / "results" / f"{key}.json").write_text(text)
        assert self.free.wait(30)
        if self.fails is not None:
            raise RuntimeError(self.fails)

    @property
    def progress(self) -> Progress:
        return self.evaluator.observe(self.asked_for).progress

    def until(self, progress: Progress) -> None:
        self.wait_until(lambda: self.progress is progress)

    def once(self, method: str, path: str, nth: int = 1) -> Callable[[str, str], bool]:
        """Whether this is the nth call that matches."""
        seen = [0]

        def match(asked: str, where: str) -> bool:
            if asked == method and re.search(path, where):
                seen[0] += 1
                return seen[0] == nth
            return False

        return match


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    with serving(Workspace()) as workspace:
        bench = Bench(workspace, tmp_path)
        yield bench
        bench.free.set()


def failing(status: int, match: Callable[[str, str], bool]) -> Callable[[str, str], Refused | None]:
    code = {429: "RESOURCE_EXHAUSTED", 503: "TEMPORARILY_UNAVAILABLE"}[status]
    return lambda method, path: Refused(status, code, "busy", {"Retry-After": "9"}) if match(method, path) else None


def test_a_run_that_is_active_is_running_and_its_end_is_seen(bench: Bench) -> None:
    bench.free.clear()
    bench.leaves = lambda _: None
    before = time.time()
    bench.evaluator.start(bench.asked_for)
    seen = bench.evaluator.observe(bench.asked_for)
    assert seen.progress is Progress.RUNNING
    assert before <= seen.since <= time.time()
    bench.evaluator.start(bench.asked_for)
    assert bench.begun() == 1
    bench.free.set()
    bench.until(Progress.FAILED)


@pytest.mark.parametrize("lost", ["run-now", "jobs/[0-9a-f]{32}.json$"])
@pytest.mark.parametrize("nth", [1, 2])
def test_an_answer_that_is_lost_begins_no_second_run(bench: Bench, lost: str, nth: int) -> None:
    method = "POST" if lost == "run-now" else "PUT"
    bench.workspace.lose = bench.once(method, lost, nth)
    for each in (bench.evaluator, bench.another()):
        try:
            each.start(bench.asked_for)
        except Transient:
            continue
    bench.workspace.lose = lambda _method, _path: False
    bench.evaluator.start(bench.asked_for)
    bench.until(Progress.DONE)
    assert bench.begun() == 1


def test_a_watcher_that_was_killed_after_it_began_a_run_is_taken_over(bench: Bench) -> None:
    match = bench.once("PUT", "jobs/", nth=2)
    bench.workspace.refuse = lambda method, path: Refused(400, "X", "killed here") if match(method, path) else None
    with pytest.raises(Terminal):
        bench.evaluator.start(bench.asked_for)
    other = bench.another()
    bench.wait_until(lambda: other.observe(bench.asked_for).progress is Progress.DONE)
    other.start(bench.asked_for)
    assert bench.begun() == 1


def test_two_watchers_that_both_saw_a_failure_begin_one_run(bench: Bench) -> None:
    bench.leaves, bench.fails = lambda _: None, "out of memory"
    bench.evaluator.start(bench.asked_for)
    bench.until(Progress.FAILED)
    bench.later = AGAIN + 60
    bench.free.clear()
    watchers = [bench.evaluator, bench.another(), bench.another()]
    threads = [threading.Thread(target=each.start, args=(bench.asked_for,)) for each in watchers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.begun() == 2


@pytest.mark.parametrize(
    ("status", "call"),
    [(429, "GET .*files.*results"), (503, "GET .*files.*jobs"), (429, "PUT .*jobs"), (503, "POST .*run-now")],
)
def test_a_workspace_that_is_busy_is_asked_again_later(bench: Bench, status: int, call: str) -> None:
    method, _, path = call.partition(" ")
    bench.workspace.refuse = failing(status, lambda asked, where: asked == method and bool(re.search(path, where)))
    began = time.monotonic()
    with pytest.raises(Transient) as raised:
        bench.evaluator.start(bench.asked_for)
    assert time.monotonic() - began < 9, "it slept for as long as the workspace wished"
    assert raised.value.retry_after == pytest.approx(9, abs=1)
    assert bench.begun() == 0
    bench.workspace.refuse = lambda _method, _path: None
    bench.evaluator.start(bench.asked_for)
    bench.until(Progress.DONE)
    assert bench.begun() == 1


def test_a_run_that_failed_is_nobodys_fault_and_is_begun_again_after_a_while(bench: Bench) -> None:
    bench.leaves, bench.fails = lambda _: None, "The cluster could not be started: quota=exceeded token=abcdefgh"
    bench.evaluator.start(bench.asked_for)
    bench.until(Progress.FAILED)
    seen = bench.evaluator.observe(bench.asked_for)
    assert seen.fault is Fault.ELSEWHERE
    assert "RUN_EXECUTION_ERROR The cluster could not be started" in seen.why
    assert "abcdefgh" not in seen.why
    bench.later = AGAIN + 60
    assert bench.progress is Progress.ABSENT
    bench.fails = None
    bench.leaves = lambda attempt: json.dumps({**DONE, "at": time.time(), "attempt": attempt})
    bench.evaluator.start(bench.asked_for)
    bench.until(Progress.DONE)
    assert bench.begun() == 2


def test_a_failure_of_an_attempt_before_is_not_taken_for_the_next_ones(bench: Bench) -> None:
    told = {"state": "failed", "why": "Version 2: it crashed.", "fault": "challenger"}
    bench.leaves = lambda attempt: json.dumps({**told, "at": time.time(), "attempt": attempt})
    bench.evaluator.start(bench.asked_for)
    bench.until(Progress.FAILED)
    seen = bench.evaluator.observe(bench.asked_for)
    assert (seen.fault, seen.why) == (Fault.CHALLENGER, "Version 2: it crashed.")
    bench.free.clear()
    bench.leaves = lambda _: None
    bench.evaluator.start(bench.asked_for)
    assert bench.progress is Progress.RUNNING
    assert bench.begun() == 2


RUBBISH = {
    "no JSON": "{",
    "no mapping": "[1, 2]",
    "deeply nested": "[" * 100_000,
    "another state": json.dumps({**DONE, "at": 1.0, "attempt": 1, "state": "fine"}),
    "no time": json.dumps({**DONE, "attempt": 1}),
    "no attempt": json.dumps({**DONE, "at": 1.0}),
    "no scores": json.dumps({**DONE, "at": 1.0, "attempt": 1, "scores": []}),
    "another metric": json.dumps({**DONE, "at": 1.0, "attempt": 1, "scores": [{**SCORE, "metric": "f1"}]}),
    "text for a number": json.dumps({**DONE, "at": 1.0, "attempt": 1, "scores": [{**SCORE, "gain": "much"}]}),
    "not a number": json.dumps({**DONE, "at": 1.0, "attempt": 1, "scores": [{**SCORE, "low": float("nan")}]}),
    "infinite": json.dumps({**DONE, "at": 1.0, "attempt": 1, "scores": [{**SCORE, "gain": float("inf")}]}),
    "no rows": json.dumps({**DONE, "at": 1.0, "attempt": 1, "rows": 0}),
    "a fault of nobody we know": json.dumps({"state": "failed", "at": 1.0, "attempt": 1, "why": "", "fault": "you"}),
    "no time at all": json.dumps({"state": "failed", "at": float("nan"), "attempt": 1, "why": "", "fault": "champion"}),
    "too large": " " * (16 * 2**20 + 1),
}


@pytest.mark.parametrize("what", sorted(RUBBISH))
def test_rubbish_is_no_result(bench: Bench, what: str) -> None:
    bench.free.clear()
    bench.leaves = lambda _: RUBBISH[what]
    bench.evaluator.start(bench.asked_for)
    bench.wait_until(lambda: any(bench.files.here(HOME).glob("results/*.json")))
    assert bench.progress is Progress.RUNNING
    bench.free.set()
    bench.until(Progress.FAILED)
    seen = bench.evaluator.observe(bench.asked_for)
    assert seen.fault is Fault.ELSEWHERE
    assert "ended without a result" in seen.why


def test_a_run_that_the_workspace_forgot_is_begun_again(bench: Bench) -> None:
    bench.leaves = lambda _: None
    bench.evaluator.start(bench.asked_for)
    bench.workspace.jobs.runs.clear()
    bench.until(Progress.FAILED)
    bench.later = AGAIN + 60
    bench.until(Progress.ABSENT)


def test_nothing_that_signs_in_is_written_to_the_volume(bench: Bench) -> None:
    from deployers.databricks.evaluations import DatabricksRuns

    uri = "https://me:hunter22@mlflow.example.com"
    RemoteEvaluator(DatabricksRuns(), uri, {}).start(bench.asked_for)
    (request,) = bench.files.here(HOME).glob("jobs/*.json")
    assert json.loads(request.read_text())["job"]["tracking_uri"] == "https://mlflow.example.com"
    assert "hunter22" not in request.read_text()


def test_what_is_only_tried_lies_apart(bench: Bench) -> None:
    from deployers.databricks.evaluations import DatabricksRuns
    from watcher.evaluators.remote import TRIALS

    tried = RemoteEvaluator(DatabricksRuns(), None, {}, TRIALS)
    tried.start(bench.asked_for)
    bench.wait_until(lambda: tried.observe(bench.asked_for).progress is Progress.DONE)
    assert bench.progress is Progress.ABSENT
    assert [*bench.files.here(HOME).glob("*")] == [bench.files.here(HOME) / "trials"]


def test_another_commit_of_a_table_in_a_volume_is_other_data(bench: Bench) -> None:
    log = bench.files.here(TABLE) / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("{}")
    asked = replace(bench.asked_for, rules=bench.on(TABLE, "delta"))
    bench.evaluator.start(asked)
    bench.wait_until(lambda: bench.evaluator.observe(asked).progress is Progress.DONE)
    (bench.files.here(TABLE) / "part-0.parquet").write_bytes(b"not committed")
    assert bench.evaluator.observe(asked).progress is Progress.DONE
    for number in (1, 2, 3):
        (log / f"{number:020}.json").write_text("{}")
        assert bench.evaluator.observe(asked).progress is Progress.ABSENT


def test_a_fixed_version_of_a_table_is_not_looked_at(bench: Bench) -> None:
    asked = replace(bench.asked_for, rules=bench.on("abfss://ml@account.dfs.core.windows.net/holdout", "delta", 12))
    bench.evaluator.start(asked)
    bench.wait_until(lambda: bench.evaluator.observe(asked).progress is Progress.DONE)
    assert not [path for _, path in bench.workspace.asked if "fs/directories" in path]


def test_a_file_of_a_folder_that_changes_is_other_data(bench: Bench) -> None:
    asked: Evaluation = replace(bench.asked_for, rules=bench.on("/Volumes/ml/risk/data"))
    deep = bench.files.here("/Volumes/ml/risk/data/year=2026/part.parquet")
    deep.parent.mkdir()
    deep.write_bytes(b"rows")
    bench.evaluator.start(asked)
    bench.wait_until(lambda: bench.evaluator.observe(asked).progress is Progress.DONE)
    deep.write_bytes(b"other rows")
    assert bench.evaluator.observe(asked).progress is Progress.ABSENT


def told(bench: Bench) -> str:
    (problem,) = bench.evaluator.check(bench.rules)
    return problem


def test_a_job_that_is_not_there_is_told(bench: Bench) -> None:
    del bench.workspace.jobs.settings[JOB]
    assert told(bench) == f"There is no job {JOB}, or it may not be seen: check evaluate.job.job_id."


def test_a_job_without_the_parameters_is_told(bench: Bench) -> None:
    bench.workspace.jobs.settings[JOB].parameters = (bench.workspace.jobs.settings[JOB].parameters or [])[:1]
    assert told(bench) == f"The job {JOB} has no parameter 'key'; it has home: add it."


def test_a_home_that_is_not_there_is_told(bench: Bench) -> None:
    bench.files.here(HOME).rmdir()
    assert told(bench) == f"There is no folder {HOME}, or it may not be seen: make it, or correct home."


def test_who_may_not_sign_in_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "another")
    bench.evaluator = bench.another()
    assert "Databricks refuses it" in told(bench)
    assert "another" not in told(bench)


def test_every_verb_fits_into_a_wake_up_of_azure_functions(bench: Bench) -> None:
    from watcher.hosted.host import DEADLINE

    assert bench.evaluator.lease < DEADLINE
